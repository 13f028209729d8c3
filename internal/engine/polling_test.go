package engine_test

import (
	"runtime"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
)

func TestPolling(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two processors: one is left to others")
	}
	o := newOffice(t, 2, 2)
	o.mustAttach("vale0:v0")
	o.mustAttach("vale0:v1")
	o.mustNewIf("p0")
	o.mustAttach("vale0:p0")
	all := uint32(runtime.NumCPU())
	for _, c := range []struct {
		what               string
		name               string
		mode, first, count uint32
		want               syscall.Errno
	}{
		{"no vale prefix", "v0", 1, 0, 1, syscall.EINVAL},
		{"no such port", "vale0:none", 1, 0, 1, syscall.ENXIO},
		{"no such switch", "vale9:v0", 1, 0, 1, syscall.ENXIO},
		{"a persistent port", "vale0:p0", 1, 0, 1, syscall.EOPNOTSUPP},
		{"no processors", "vale0:v0", 1, 0, 0, syscall.EINVAL},
		{"all processors", "vale0:v0", 2, 0, all, syscall.EINVAL},
		{"two for one", "vale0:v0", 1, 0, 2, syscall.EINVAL},
		{"unknown mode", "vale0:v0", 3, 0, 1, syscall.EINVAL},
		{"mode 0", "vale0:v0", 0, 0, 1, syscall.EINVAL},
		{"rings beyond", "vale0:v0", 2, 2, 1, syscall.EINVAL},
		{"rings far beyond", "vale0:v0", 2, 1<<32 - 1, 1, syscall.EINVAL},
		{"a processor that is not there", "vale0:v0", 1, 1 << 20, 1, syscall.EINVAL},
		{"a processor that is far away", "vale0:v0", 1, 1<<32 - 1, 1, syscall.EINVAL},
		{"one", "vale0:v0", abi.PollingSingleCPU, 1, 1, 0},
		{"once more", "vale0:v0", 1, 0, 1, syscall.EFAULT},
	} {
		wantErrno(t, c.what, o.e.StartPolling(engine.Here, c.name, c.mode, c.first, c.count), c.want)
	}
	ping := func() {
		t.Helper()
		if lost := o.ping(0, "10.0.0.2", 10); lost > 0 {
			t.Errorf("%d of 10 lost", lost)
		}
	}
	ping()
	_, err := o.e.Detach(engine.Here, "vale0:v0")
	wantErrno(t, "detach while polling", err, syscall.EBUSY)
	wantErrno(t, "stop polling what is not polled", o.e.StopPolling(engine.Here, "vale0:v1"),
		syscall.EFAULT)
	wantErrno(t, "stop polling", o.e.StopPolling(engine.Here, "vale0:v0"), 0)
	wantErrno(t, "stop polling again", o.e.StopPolling(engine.Here, "vale0:v0"), syscall.EFAULT)
	ping()
	for ring := range uint32(2) {
		wantErrno(t, "poll one ring",
			o.e.StartPolling(engine.Here, "vale0:v0", abi.PollingMultiCPU, ring, 1), 0)
		ping()
		wantErrno(t, "stop polling", o.e.StopPolling(engine.Here, "vale0:v0"), 0)
	}
	if _, err := o.e.Detach(engine.Here, "vale0:v0"); err != nil {
		t.Error(err)
	}
	wantErrno(t, "leave polling on",
		o.e.StartPolling(engine.Here, "vale0:v1", abi.PollingSingleCPU, 0, 1), 0)
}
