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

// Record says whose interface was changed how.
type Record struct {
	Boot    string  `json:"boot"` // what follows means nothing after the machine's next start
	PID     int     `json:"pid"`  // of the process, for people: the lock says whether it lives
	NetNS   NetNS   `json:"netns"`
	Ifindex int     `json:"ifindex"`
	Name    string  `json:"name"` // when it was taken
	MAC     string  `json:"mac"`  // the one that the card was made with, if it tells
	Changes Changes `json:"changes"`
}

// NetNS identifies a network namespace. The inode's number is used again after its end, the cookie is not.
type NetNS struct {
	Inode  uint64 `json:"inode"`
	Cookie uint64 `json:"cookie,omitempty"` // 0 before Linux 5.14
}

// file is the name of the record's file. There is one for an interface.
func (r *Record) file() string { return fmt.Sprintf("%d-%d.json", r.NetNS.Inode, r.Ifindex) }

// identify says which interface it is. ENODEV when there is none.
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
	return Record{Boot: bootID(), PID: os.Getpid(), NetNS: here, Ifindex: ifindex, Name: l.Attrs().Name, MAC: macOf(l)}, nil
}

// macOf is the address by which an interface is known again.
func macOf(l netlink.Link) string {
	if a := l.Attrs().PermHWAddr; len(a) > 0 && !bytes.Equal(a, make(net.HardwareAddr, len(a))) {
		return a.String()
	}
	return l.Attrs().HardwareAddr.String()
}

// bootID is another each time that the machine starts.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// currentNetNS is the network namespace of the calling thread.
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
