//go:build linux

package takeover

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Record describes an interface that was changed, and the changes.
type Record struct {
	Boot    string  `json:"boot"` // boot in which the record is valid
	PID     int     `json:"pid"`  // for people; the file's lock tells whether the process is alive
	NetNS   NetNS   `json:"netns"`
	Ifindex int     `json:"ifindex"`
	Name    string  `json:"name"` // when the interface was taken over
	MAC     string  `json:"mac"`  // the permanent address if the card has one, else the current one
	Changes Changes `json:"changes"`
}

// NetNS identifies a network namespace. The kernel uses the number of an inode again after the
// namespace has ended, but never a cookie.
type NetNS struct {
	Inode  uint64 `json:"inode"`
	Cookie uint64 `json:"cookie,omitempty"` // 0 before Linux 5.14
}

// file is the name of the record's file. There is one file for each interface.
func (r *Record) file() string { return fmt.Sprintf("%d-%d.json", r.NetNS.Inode, r.Ifindex) }

// identify makes the record of an interface, without changes. ENODEV when there is no such
// interface.
func identify(ifindex int) (Record, error) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		var none netlink.LinkNotFoundError
		if errors.As(err, &none) {
			err = syscall.ENODEV
		}
		return Record{}, fault.Wrap(err, "take over", fmt.Sprintf("interface #%d", ifindex), "")
	}
	here, err := currentNetNS()
	if err != nil {
		return Record{}, fault.Wrap(err, "find network namespace of", l.Attrs().Name, "")
	}
	return Record{Boot: bootID(), PID: os.Getpid(), NetNS: here,
		Ifindex: ifindex, Name: l.Attrs().Name, MAC: macOf(l)}, nil
}

// macOf is the address by which an interface is recognized: the permanent one if there is one.
func macOf(l netlink.Link) string {
	if a := l.Attrs().PermHWAddr; len(a) > 0 && !bytes.Equal(a, make(net.HardwareAddr, len(a))) {
		return a.String()
	}
	return l.Attrs().HardwareAddr.String()
}

// bootID changes each time the machine starts.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// currentNetNS identifies the network namespace of the calling thread.
func currentNetNS() (NetNS, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return NetNS{}, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return NetNS{}, err
	}
	defer unix.Close(fd)
	cookie, _ := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return NetNS{Inode: st.Ino, Cookie: cookie}, nil
}
