//go:build linux

// Package capability checks, before anything is done, whether this process has the capabilities
// that it needs, and names all that are missing.
package capability

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Capability is a capability, by its number in capabilities(7).
type Capability uint

// Capabilities that interfaces need.
const (
	NetAdmin Capability = unix.CAP_NET_ADMIN // settings, XDP and TCX programs, TAPs
	NetRaw   Capability = unix.CAP_NET_RAW   // AF_XDP sockets
	IPCLock  Capability = unix.CAP_IPC_LOCK  // memory of sockets beyond the limit on locked memory
	BPF      Capability = unix.CAP_BPF       // programs; CAP_SYS_ADMIN includes it
)

var names = map[Capability]string{NetAdmin: "CAP_NET_ADMIN", NetRaw: "CAP_NET_RAW",
	IPCLock: "CAP_IPC_LOCK", BPF: "CAP_BPF"}

func (c Capability) String() string { return names[c] }

// isInitial reports whether the kernel requires the capability in the initial user namespace. In a
// container's own user namespace it has no effect.
func (c Capability) isInitial() bool { return c == IPCLock || c == BPF }

// Need returns EPERM if the process lacks capabilities of the list. op and object tell what they
// are needed for. The error names all that are missing, and what to do.
func Need(op, object string, list ...Capability) error {
	set, err := effective()
	if err != nil {
		return nil // then the kernel refuses what it must
	}
	return need(op, object, set, inInitial(), list)
}

func need(op, object string, set uint64, initial bool, list []Capability) error {
	has := func(c Capability) bool {
		isIn := set&(1<<c) != 0 || c == BPF && set&(1<<unix.CAP_SYS_ADMIN) != 0
		return isIn && (initial || !c.isInitial())
	}
	var missing []string
	for _, c := range list {
		switch {
		case has(c):
		case c == IPCLock:
			missing = append(missing,
				c.String()+" (or more memory that can be locked: ulimit -l, LimitMEMLOCK=)")
		default:
			missing = append(missing, c.String())
		}
	}
	switch {
	case missing == nil:
		return nil
	case !initial && slices.ContainsFunc(list, Capability.isInitial):
		return fault.New(syscall.EPERM, op, object,
			"it takes %s, and in a user namespace nobody has all of these; "+
				"use the device of a netmap serve outside of it", join(missing))
	}
	return fault.New(syscall.EPERM, op, object,
		"it takes %s: run as root, or 'sudo setcap %s+ep %s', "+
			"or use the device of netmap serve, "+
			"which takes membership of its group and no capability",
		join(missing), grant, program())
}

// grant lists all capabilities that interfaces need, because setcap(8) replaces those that a
// program had.
const grant = "cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock"

// join writes "a, b and c".
func join(list []string) string {
	last := len(list) - 1
	if last == 0 {
		return list[0]
	}
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

func program() string {
	path, err := os.Executable()
	if err != nil {
		return "PROGRAM"
	}
	return path
}

// effective returns the calling thread's effective capabilities, one bit each.
func effective() (uint64, error) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return 0, err
	}
	return uint64(d[1].Effective)<<32 | uint64(d[0].Effective), nil
}

// initialNS is the inode of the initial user namespace (PROC_USER_INIT_INO).
const initialNS = 0xEFFFFFFD

// inInitial reports whether this process is in the initial user namespace. It also does so if that
// cannot be found out.
func inInitial() bool {
	target, err := os.Readlink("/proc/self/ns/user")
	return err != nil || target == fmt.Sprintf("user:[%d]", uint32(initialNS))
}
