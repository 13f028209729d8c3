//go:build linux

package netdev

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// ask asks netlink for one interface, by a name of any length.
func ask(name string) (index int, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(fd, linkRequest(name), 0, kernel); err != nil {
		return 0, err
	}
	answer := make([]byte, 32<<10)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return 0, err
	}
	messages, err := syscall.ParseNetlinkMessage(answer[:n])
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		switch {
		case m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4:
			return 0, syscall.Errno(-int32(native.Uint32(m.Data)))
		case m.Header.Type == unix.RTM_NEWLINK && len(m.Data) >= unix.SizeofIfInfomsg:
			return int(int32(native.Uint32(m.Data[4:]))), nil
		}
	}
	return 0, unix.ENODEV
}

// linkRequest is a request for one interface. A name of more than 15 characters is an altname,
// which has its own attribute.
func linkRequest(name string) []byte {
	kind := uint16(unix.IFLA_IFNAME)
	if len(name) >= unix.IFNAMSIZ {
		kind = unix.IFLA_ALT_IFNAME
	}
	b := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	b = native.AppendUint16(b, uint16(unix.SizeofRtAttr+len(name)+1))
	b = append(native.AppendUint16(b, kind), name...)
	b = append(b, 0)
	for len(b)%unix.RTA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	native.PutUint32(b, uint32(len(b)))
	native.PutUint16(b[4:], unix.RTM_GETLINK)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST)
	return b
}
