//go:build linux

package xsk

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// attached is an XDP program that is on an interface.
type attached struct {
	id      ebpf.ProgramID
	command string // what `ip link set` calls the mode it is attached in
}

// modes are the attributes of IFLA_XDP that hold the id of an attached program, and what `ip link set` calls the mode.
var modes = map[uint16]string{
	unix.IFLA_XDP_DRV_PROG_ID: "xdpdrv",
	unix.IFLA_XDP_SKB_PROG_ID: "xdpgeneric",
	unix.IFLA_XDP_HW_PROG_ID:  "xdpoffload",
}

// occupied is the error of an interface that has an XDP program already: it names the program and says how to get rid
// of it, as far as both can be found out.
func occupied(ifindex int, name string) error {
	e := fault.New(unix.EBUSY, attachOp, name, "another XDP program is attached: stop its owner")
	a, ok := findAttached(ifindex)
	if !ok {
		return e
	}
	who := fmt.Sprintf("id %d", a.id)
	if p := programOf(a.id); p != "" {
		who = fmt.Sprintf("%q (%s)", p, who)
	}
	how := fmt.Sprintf("ip link set dev %s %s off", name, a.command)
	if id, ok := linkOf(a.id); ok {
		how = fmt.Sprintf("bpftool link detach id %d", id)
	}
	e.Hint = fmt.Sprintf("XDP program %s is attached: stop its owner, or detach it: %s", who, how)
	return e
}

// findAttached asks rtnetlink which program is on an interface.
func findAttached(ifindex int) (attached, bool) {
	dump, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return attached{}, false
	}
	msgs, err := syscall.ParseNetlinkMessage(dump)
	if err != nil {
		return attached{}, false
	}
	for _, m := range msgs {
		const indexAt = 4 // ifi_index in struct ifinfomsg
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg ||
			binary.NativeEndian.Uint32(m.Data[indexAt:]) != uint32(ifindex) {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return attached{}, false
		}
		for _, a := range attrs {
			if a.Attr.Type&^unix.NLA_F_NESTED == unix.IFLA_XDP {
				return parseAttached(a.Value)
			}
		}
	}
	return attached{}, false
}

// parseAttached finds a program in the attributes nested in IFLA_XDP.
func parseAttached(b []byte) (attached, bool) {
	for len(b) >= unix.SizeofRtAttr {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < unix.SizeofRtAttr || size > len(b) {
			break
		}
		if mode, ok := modes[kind]; ok && size == unix.SizeofRtAttr+4 {
			id := ebpf.ProgramID(binary.NativeEndian.Uint32(b[unix.SizeofRtAttr:]))
			return attached{id: id, command: mode}, true
		}
		b = b[min(len(b), (size+3)&^3):] // attributes are aligned to 4 bytes
	}
	return attached{}, false
}

// programOf is the name of a program, or nothing.
func programOf(id ebpf.ProgramID) string {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return ""
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// linkOf finds the bpf_link that attaches a program, if it is attached by one: `ip link` cannot detach it then.
func linkOf(id ebpf.ProgramID) (link.ID, bool) {
	it := new(link.Iterator)
	defer it.Close()
	for it.Next() {
		if info, err := it.Link.Info(); err == nil && info.Type == link.XDPType && info.Program == id {
			return info.ID, true
		}
	}
	return 0, false
}
