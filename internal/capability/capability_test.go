//go:build linux

package capability

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNeed(t *testing.T) {
	bits := func(list ...Capability) (set uint64) {
		for _, c := range list {
			set |= 1 << c
		}
		return set
	}
	all := []Capability{NetRaw, NetAdmin, BPF}
	for _, tt := range []struct {
		name    string
		set     uint64
		inside  bool // in a user namespace other than the initial one
		need    []Capability
		want    string // "" for no error
		without string
	}{
		{"nothing", 0, false, all, "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF: run as root, " +
			"or 'sudo setcap cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock+ep /", ""},
		{"one is missing", bits(NetRaw, BPF), false, all, "it takes CAP_NET_ADMIN: run", "CAP_BPF"},
		{"setcap replaces", bits(BPF), false, []Capability{NetRaw, BPF},
			"setcap cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock+ep", ""},
		{"all", bits(all...), false, all, "", ""},
		{"CAP_SYS_ADMIN for CAP_BPF", bits(NetRaw, NetAdmin, unix.CAP_SYS_ADMIN), false, all, "", ""},
		{"locked memory", bits(all...), false, append(all, IPCLock),
			"it takes CAP_IPC_LOCK (or more memory that can be locked: ulimit -l, LimitMEMLOCK=): run",
			"CAP_NET"},
		{"root of a user namespace", ^uint64(0), true, all, "it takes CAP_BPF, and in a user namespace",
			"setcap"},
		{"what a user namespace has", ^uint64(0), true, []Capability{NetRaw}, "", ""},
		{"nobody in a user namespace", 0, true, all,
			"it takes CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF, and in", "setcap"},
	} {
		err := need("use", "eth0", tt.set, !tt.inside, tt.need)
		switch {
		case tt.want == "":
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		case !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), tt.want) ||
			tt.without != "" && strings.Contains(err.Error(), tt.without):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// effective returns what /proc shows of this thread.
func TestEffective(t *testing.T) {
	set, err := effective()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "CapEff:\t")
	var want uint64
	for _, digit := range strings.ToLower(after[:16]) {
		want = want<<4 | uint64(strings.IndexRune("0123456789abcdef", digit))
	}
	if set != want {
		t.Errorf("%x, want %x", set, want)
	}
}
