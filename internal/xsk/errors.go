//go:build linux

package xsk

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

type hints = fault.Hints

// fail is the error of an operation with the hint that fits; nil stays nil.
func fail(op, on string, err error, h hints) error {
	if err == nil {
		return nil
	}
	return h.Wrap(err, op, on)
}

// invalid is the error of a request that fails whatever the kernel would answer.
func invalid(op, on, why string) error { return fault.New(unix.EINVAL, op, on, "%s", why) }

// ifname returns the name of an interface in the network namespace of the calling thread.
func ifname(op string, ifindex int) (string, error) {
	i, err := net.InterfaceByIndex(ifindex)
	if err != nil {
		return "", fault.New(unix.ENODEV, op, "interface #"+strconv.Itoa(ifindex),
			"there is no such interface in this network namespace")
	}
	return i.Name, nil
}

// queueName is the name of a queue in errors.
func queueName(ifname string, queue int) string { return ifname + " queue " + strconv.Itoa(queue) }

var (
	socketHints = hints{
		unix.EPERM:        "AF_XDP sockets need the capability CAP_NET_RAW: run as root or grant it",
		unix.EAFNOSUPPORT: "this kernel has no AF_XDP: it needs CONFIG_XDP_SOCKETS",
		unix.EMFILE: "this process has too many files open: " +
			"raise the limit (ulimit -n, LimitNOFILE=)",
	}
	memoryHints = hints{
		unix.ENOBUFS: "the limit of locked memory is too low: " +
			"raise it (ulimit -l, LimitMEMLOCK=) or grant CAP_IPC_LOCK",
		unix.ENOMEM: "not enough memory to pin the buffers: use fewer buffers or free memory",
		unix.EINVAL: "the memory must start at a page boundary, and the kernel be Linux 5.4 or later",
		unix.EFAULT: "the memory is not mapped, or not writable",
	}
	ringHints = hints{
		unix.ENOMEM: "not enough memory for the rings: use smaller rings",
	}
	busyHints = hints{
		unix.EPERM: "busy polling needs the capability CAP_NET_ADMIN: " +
			"run as root, grant it, or do without busy polling",
		unix.EOPNOTSUPP: "the driver does not tell the kernel which receive loop (NAPI) a queue has, " +
			"as veth does not: do without busy polling, or use another interface",
		unix.ENOPROTOOPT: "this kernel has no preferred busy polling, which came with Linux 5.11: " +
			"do without it",
	}
	bindHints = hints{
		unix.EINVAL: "the queue does not exist, or the driver refuses this mode: " +
			"check the number of queues (ethtool -l) or try another mode",
		unix.EOPNOTSUPP: "the driver has no zero-copy: " +
			"use native copy or generic mode (--xdp-mode auto chooses)",
		unix.ENODEV:   "the interface has just been removed",
		unix.ENETDOWN: "the interface is down: bring it up",
		unix.ENOMEM:   "not enough memory for the queue: use fewer buffers or free memory",
	}
	programHints = hints{
		unix.EPERM: "XDP programs need the capabilities CAP_NET_ADMIN and CAP_BPF: " +
			"run as root or grant them",
		unix.ENOMEM: "not enough memory for the program and its map, " +
			"or the limit of locked memory is too low (ulimit -l)",
	}
	attachHints = hints{
		unix.EPERM: "XDP programs need the capabilities CAP_NET_ADMIN and CAP_BPF: " +
			"run as root or grant them",
		unix.EOPNOTSUPP: "the driver has no XDP: use generic mode (--xdp-mode generic)",
		unix.EINVAL: "the driver refuses XDP, often because of the MTU or offloads: " +
			"lower the MTU (to 1500), or use generic mode",
		unix.ERANGE: "the driver refuses XDP at this MTU: " +
			"lower the MTU (to 1500), or use generic mode",
		unix.ENOSPC: "the driver refuses XDP with these queues: " +
			"use fewer queues (ethtool -L), or generic mode",
	}
	mapHints = hints{
		unix.EBADF: "the socket is closed",
	}
)
