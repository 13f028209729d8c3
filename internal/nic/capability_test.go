//go:build linux

package nic_test

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// with calls f with only these effective capabilities, on the calling thread, which is locked to
// its goroutine.
func with(t *testing.T, f func(), list ...int) {
	t.Helper()
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	err := unix.Capget(&h, &all[0])
	some := all
	some[0].Effective, some[1].Effective = 0, 0
	for _, c := range list {
		some[c/32].Effective |= 1 << (c % 32)
	}
	testutil.Require(t, "capabilities to drop", errors.Join(err, unix.Capset(&h, &some[0])))
	defer func() {
		if err := unix.Capset(&h, &all[0]); err != nil {
			t.Error(err)
		}
	}()
	f()
}

// The error for missing capabilities names all of them at once, and nothing is changed. With the
// named capabilities the port opens.
func TestMissingCapabilities(t *testing.T) {
	p, dir := newPair(t, 2), filepath.Join(t.TempDir(), "state")
	f, err := embed.New(embed.Config{Buffers: 3000, NICSlots: 64, NoHugePages: true, StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := look(t, p.na, dir)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)
	const raw, admin, bpf, lock = unix.CAP_NET_RAW, unix.CAP_NET_ADMIN, unix.CAP_BPF, unix.CAP_IPC_LOCK
	receive, send := []string{"netmap:va", "netmap:va*", "netmap:va-1/R"}, []string{"netmap:va-1/T"}
	for _, tt := range []struct {
		has    []int
		little bool // memory that may be locked
		names  []string
		want   string // "" for success
	}{
		{nil, false, receive, "it takes CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF:"},
		{nil, true, receive, "it takes CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF and CAP_IPC_LOCK (or"},
		{[]int{raw, lock}, false, receive, "it takes CAP_NET_ADMIN and CAP_BPF:"},
		{[]int{admin, lock}, false, receive, "it takes CAP_NET_RAW and CAP_BPF:"},
		{[]int{raw, admin}, true, receive, "it takes CAP_BPF and CAP_IPC_LOCK (or"},
		{nil, false, send, "it takes CAP_NET_RAW:"},
		{nil, false, []string{"netmap:va^"}, "it takes CAP_NET_ADMIN and CAP_BPF:"},
		{[]int{raw, admin, bpf, lock}, true, append(receive, send...), ""},
		{[]int{raw, admin, bpf}, false, receive, ""},
		{[]int{raw}, false, send, ""},
	} {
		limit := limit
		if limit.Cur = limit.Max; tt.little {
			limit.Cur = 0
		}
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
			t.Fatal(err)
		}
		for _, name := range tt.names {
			var port *netmap.Port
			var err error
			p.na.Do(func() {
				with(t, func() { port, err = f.Open(name) }, tt.has...)
			})
			switch {
			case err == nil && tt.want == "":
				port.Close()
				continue
			case err == nil:
				port.Close()
			}
			for _, want := range []string{tt.want,
				"setcap cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock+ep /", "the device of netmap serve"} {
				if !errors.Is(err, syscall.EPERM) || tt.want == "" || !strings.Contains(err.Error(), want) {
					t.Errorf("%s with %v, little memory %v: %v, want %q", name, tt.has, tt.little, err, want)
				}
			}
			if now := look(t, p.na, dir); now != before {
				t.Errorf("%s with %v: %+v, it was %+v", name, tt.has, now, before)
			}
		}
	}
	if now := look(t, p.na, dir); now != before {
		t.Errorf("at the end %+v, it was %+v", now, before)
	}
}
