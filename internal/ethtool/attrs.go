//go:build linux

package ethtool

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attrs are the attributes of a netlink message, or those nested in an attribute, by their types.
// An attribute may occur more than once.
type Attrs map[uint16][][]byte

// Parse reads the attributes of a message.
func Parse(b []byte) (Attrs, error) {
	list, err := nl.ParseRouteAttr(b)
	if err != nil {
		return nil, err
	}
	a := Attrs{}
	for _, at := range list {
		kind := at.Attr.Type &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		a[kind] = append(a[kind], at.Value)
	}
	return a, nil
}

// Number is the value of an attribute of 1, 4 or 8 bytes; 0 if the attribute is absent.
func (a Attrs) Number(kind uint16) int {
	if len(a[kind]) == 0 {
		return 0
	}
	switch b := a[kind][0]; len(b) {
	case 1:
		return int(b[0])
	case 4:
		return int(binary.NativeEndian.Uint32(b))
	case 8:
		return int(binary.NativeEndian.Uint64(b))
	}
	return 0
}

// Nested returns the attributes inside an attribute, none if the attribute is absent.
func (a Attrs) Nested(kind uint16) (Attrs, error) {
	if len(a[kind]) == 0 {
		return Attrs{}, nil
	}
	return Parse(a[kind][0])
}

// Text is the value of an attribute that is a string.
func (a Attrs) Text(kind uint16) string {
	if len(a[kind]) == 0 {
		return ""
	}
	return strings.TrimRight(string(a[kind][0]), "\x00")
}

// genlHeader is struct genlmsghdr. Package nl has one that leaves the last two bytes undefined, but
// newer families require zeros.
type genlHeader [nl.SizeofGenlmsg]byte

func (h genlHeader) Len() int          { return len(h) }
func (h genlHeader) Serialize() []byte { return h[:] }

// Ask sends one question to a family of generic netlink and returns the first answer.
func Ask(family string, command uint8, question *nl.RtAttr) (Attrs, error) {
	msgs, err := request(family, command, question)
	if err != nil {
		return nil, err
	}
	if len(msgs) == 0 || len(msgs[0]) < nl.SizeofGenlmsg {
		return nil, fmt.Errorf("the kernel gave no answer")
	}
	return Parse(msgs[0][nl.SizeofGenlmsg:])
}

// request sends a message to a family and returns the answers without the acknowledgement.
func request(family string, command uint8, attrs ...*nl.RtAttr) ([][]byte, error) {
	f, err := netlink.GenlFamilyGet(family)
	if err != nil {
		return nil, fmt.Errorf("the kernel cannot tell: it has no generic netlink family %s: %w",
			family, err)
	}
	req := nl.NewNetlinkRequest(int(f.ID), unix.NLM_F_ACK)
	req.AddData(genlHeader{command, byte(f.Version)})
	for _, a := range attrs {
		req.AddData(a)
	}
	return req.Execute(unix.NETLINK_GENERIC, 0)
}
