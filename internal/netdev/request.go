//go:build linux

package netdev

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// linkRequest asks for one interface. Names beyond 15 characters are altnames, which have an attribute of their own.
func linkRequest(index int, name string) []byte {
	const header = unix.SizeofNlMsghdr + unix.SizeofIfInfomsg
	b := make([]byte, header)
	native.PutUint16(b[4:], unix.RTM_GETLINK)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST)
	native.PutUint32(b[unix.SizeofNlMsghdr+4:], uint32(index))
	if name != "" {
		kind := uint16(unix.IFLA_IFNAME)
		if len(name) >= unix.IFNAMSIZ {
			kind = unix.IFLA_ALT_IFNAME
		}
		b = native.AppendUint16(b, uint16(unix.SizeofRtAttr+len(name)+1))
		b = append(native.AppendUint16(b, kind), name...)
		b = append(b, 0)
		for len(b)%unix.RTA_ALIGNTO != 0 {
			b = append(b, 0)
		}
	}
	native.PutUint32(b, uint32(len(b)))
	return b
}
