//go:build linux

package ifioctl

import (
	"bytes"
	"errors"
	"math/bits"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// memory is the memory of a process. It starts at address base; its first part is read-only.
type memory struct {
	b        []byte
	readOnly int
}

const base = 4096

func (m *memory) at(addr uint64, n int) []byte {
	if addr < base || addr+uint64(n) > base+uint64(len(m.b)) {
		return nil
	}
	return m.b[addr-base:][:n]
}

func (m *memory) Read(addr uint64, b []byte) error {
	from := m.at(addr, len(b))
	if from == nil {
		return syscall.EFAULT
	}
	copy(b, from)
	return nil
}

func (m *memory) Write(addr uint64, b []byte) error {
	to := m.at(addr, len(b))
	if to == nil || addr < base+uint64(m.readOnly) {
		return syscall.EFAULT
	}
	copy(to, b)
	return nil
}

// TestErrors tests failures. Tests of successful requests, on a real interface, are in
// tests/device.
func TestErrors(t *testing.T) {
	ns := testutil.NewNS(t)
	const lo = 1
	var socket int
	ns.Do(func() { socket, _ = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) })
	defer unix.Close(socket)
	for _, tt := range []struct {
		what    string
		name    string
		request uint32
		arg     uint64
		data    uint64
		command uint32
		admin   bool
		ended   bool
		fixed   int
		want    syscall.Errno
	}{
		{what: "read", name: "lo", request: unix.SIOCGIFMTU},
		{what: "nowhere", name: "lo", request: unix.SIOCGIFMTU, arg: 1, want: syscall.EFAULT},
		{what: "half of it nowhere", name: "lo", request: unix.SIOCGIFMTU, arg: base + 1<<16 - 20,
			want: syscall.EFAULT},
		{what: "read-only", name: "lo", request: unix.SIOCGIFMTU, fixed: 100, want: syscall.EFAULT},
		{what: "another's name", name: "lo2", request: unix.SIOCGIFMTU, want: syscall.EINVAL},
		{what: "no name", request: unix.SIOCGIFMTU, want: syscall.EINVAL},
		{what: "set", name: "lo", request: unix.SIOCSIFMTU, want: syscall.EPERM},
		{what: "set by an administrator", name: "lo", request: unix.SIOCSIFTXQLEN, admin: true,
			fixed: 100},
		{what: "too late", name: "lo", request: unix.SIOCSIFTXQLEN, admin: true, ended: true,
			want: syscall.EINTR},
		{what: "PHY", name: "lo", request: unix.SIOCGMIIPHY, want: syscall.EPERM},
		{what: "PHY of an interface without", name: "lo", request: unix.SIOCGMIIPHY, admin: true,
			want: syscall.EOPNOTSUPP},
		{what: "ethtool", name: "lo", request: unix.SIOCETHTOOL, data: base + 256,
			command: unix.ETHTOOL_GLINK, want: 0},
		{what: "ethtool, nowhere", name: "lo", request: unix.SIOCETHTOOL, data: 8, want: syscall.EFAULT},
		{what: "ethtool, at the end", name: "lo", request: unix.SIOCETHTOOL, data: base + 1<<16 - 4,
			command: unix.ETHTOOL_GLINK, want: syscall.EFAULT},
		{what: "ethtool, read-only", name: "lo", request: unix.SIOCETHTOOL, data: base + 256,
			command: unix.ETHTOOL_GLINK, fixed: 512, want: syscall.EFAULT},
		{what: "ethtool, unknown", name: "lo", request: unix.SIOCETHTOOL, data: base + 256,
			command: 1 << 31, want: syscall.EOPNOTSUPP},
		{what: "ethtool, set", name: "lo", request: unix.SIOCETHTOOL, data: base + 256,
			command: unix.ETHTOOL_SGRO, want: syscall.EPERM},
		{what: "ethtool, registers", name: "lo", request: unix.SIOCETHTOOL, data: base + 256,
			command: unix.ETHTOOL_GREGS, want: syscall.EPERM},
		{what: "ethtool, too late", name: "lo", request: unix.SIOCETHTOOL, data: base + 256,
			command: unix.ETHTOOL_GLINK, ended: true, want: syscall.EINTR},
		{what: "ethtool, more than there is", name: "lo", request: unix.SIOCETHTOOL, data: base + 256,
			command: unix.ETHTOOL_SRXFHINDIR, admin: true, want: syscall.EINVAL},
	} {
		m := &memory{b: make([]byte, 1<<16), readOnly: tt.fixed}
		copy(m.b, tt.name)
		native.PutUint64(m.b[unix.IFNAMSIZ:], tt.data)
		if tt.data > base {
			native.PutUint32(m.b[tt.data-base:], tt.command)
			if tt.want == syscall.EINVAL {
				native.PutUint32(m.b[tt.data-base+4:], 1<<31)
			}
		}
		if tt.arg == 0 {
			tt.arg = base
		}
		before := bytes.Clone(m.b)
		c := Call{Socket: socket, Index: lo, Request: tt.request, Arg: tt.arg, Memory: m,
			Admin: func() bool { return tt.admin }, Ended: func() bool { return tt.ended }}
		err := c.Do()
		var want error
		if tt.want != 0 {
			want = tt.want
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
		if err != nil && !bytes.Equal(m.b, before) {
			t.Errorf("%s: the memory has changed", tt.what)
		}
	}
}

func TestHandles(t *testing.T) {
	for request, want := range map[uint32]bool{
		unix.SIOCGIFFLAGS: true, unix.SIOCETHTOOL: true, unix.SIOCSMIIREG: true,
		unix.SIOCSIFMTU:  true,
		unix.SIOCGIFCONF: false, 0x6994: false, 0x6995: false, 0: false, 1<<32 - 1: false,
	} {
		if want = want && bits.UintSize == 64; Handles(request) != want {
			t.Errorf("request %#x: %v", request, !want)
		}
	}
	for number, c := range commands {
		head := bytes.Repeat([]byte{0xff}, 196)
		if c.half == neither || c.size < 4 || c.size > 196 || c.array != nil && c.array(head) < 0 {
			t.Errorf("command %#x is %+v", number, c)
		}
	}
}
