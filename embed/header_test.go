package embed_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap"
)

func TestHeader(t *testing.T) {
	f := newFramework(t)
	p := openPort(t, f, "vale0:a", netmap.AcceptHeaders())
	if n, err := p.Header(); n != 0 || err != nil {
		t.Errorf("a new port has headers of %d bytes, %v", n, err)
	}
	if err := p.SetHeader(12); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Header(); n != 12 || err != nil {
		t.Errorf("headers of %d bytes, %v; want 12", n, err)
	}
	if err := p.SetHeader(11); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("11 bytes: %v, want EINVAL", err)
	}
	if err := openPort(t, f, "x{1").SetHeader(12); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("a pipe: %v, want ENXIO", err)
	}
	if _, err := f.Open("vale0:a"); !errors.Is(err, syscall.EIO) {
		t.Errorf("open without AcceptHeaders: %v, want EIO", err)
	}
	if err := openPort(t, f, "vale0:loop", netmap.SyncLoop()).SetHeader(12); !errors.Is(err,
		syscall.EOPNOTSUPP) {
		t.Errorf("a sync loop: %v, want EOPNOTSUPP", err)
	}
}
