//go:build linux

package xsk

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Occupant is an XDP program that is attached to an interface.
type Occupant struct {
	ID   uint32 `json:"id"`
	Name string `json:"name,omitempty"` // "" when it cannot be found out
	Mode string `json:"mode"`           // native, generic, offloaded, or several
}

// occupantModes are the kernel's attach modes (XDP_ATTACHED_*): our name, and the option of `ip
// link set` for it.
var occupantModes = []struct{ name, command string }{
	{}, {"native", "xdpdrv"}, {"generic", "xdpgeneric"}, {"offloaded", "xdpoffload"},
	{"several modes", "xdp"},
}

// FindOccupant returns the XDP program that rtnetlink reports for an interface, nil if it reports
// none. Reading the name needs privileges; without them the name is "", and the error says why.
func FindOccupant(x *netlink.LinkXdp) (*Occupant, error) {
	if x == nil || !x.Attached {
		return nil, nil
	}
	mode := min(int(x.AttachMode), len(occupantModes)-1)
	o := &Occupant{ID: x.ProgId, Mode: occupantModes[mode].name}
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(o.ID))
	if err != nil {
		return o, err
	}
	defer p.Close()
	info, err := p.Info()
	if err == nil {
		o.Name = info.Name
	}
	return o, err
}

// String names the program as far as it is known: `"foo" (id 7, native)`.
func (o *Occupant) String() string {
	name := "of unknown name"
	if o.Name != "" {
		name = fmt.Sprintf("%q", o.Name)
	}
	return fmt.Sprintf("%s (id %d, %s)", name, o.ID, o.Mode)
}

// Detach returns the command that detaches the program from an interface.
func (o *Occupant) Detach(ifname string) string {
	if id, ok := linkOf(ebpf.ProgramID(o.ID)); ok {
		return fmt.Sprintf("bpftool link detach id %d", id)
	}
	for _, m := range occupantModes {
		if m.name == o.Mode {
			return fmt.Sprintf("ip link set dev %s %s off", ifname, m.command)
		}
	}
	return ""
}

// Free returns EBUSY for an interface that has an XDP program, as Attach would. A caller that must
// prepare the interface before Attach calls Free first.
func Free(ifindex int) error {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil // Attach reports the error
	}
	if o, _ := FindOccupant(l.Attrs().Xdp); o != nil {
		name := l.Attrs().Name
		return fault.New(unix.EBUSY, attachOp, name,
			"XDP program %v is attached: stop its owner, or detach it: %s", o, o.Detach(name))
	}
	return nil
}

// occupied is the error of an interface that already has an XDP program. It names the program and
// the command that detaches it, as far as both can be found out.
func occupied(ifindex int, name string) error {
	if err := Free(ifindex); err != nil {
		return err
	}
	if above, o := occupantAbove(ifindex); o != nil {
		return fault.New(unix.EBUSY, attachOp, name,
			"XDP program %v is attached to %s, whose frames come through %s, and the kernel "+
				"allows none below that: stop its owner, or detach it: "+
				"%s", o, above, name, o.Detach(above))
	}
	return fault.New(unix.EBUSY, attachOp, name,
		"another XDP program was attached at the same time: try again")
}

// occupantAbove finds an interface whose frames come through this one and that has an XDP program.
// The kernel then takes no program on this one.
func occupantAbove(ifindex int) (name string, o *Occupant) {
	links, _ := netlink.LinkList() // without the list, the error says less
	master := 0
	for _, l := range links {
		if l.Attrs().Index == ifindex {
			master = l.Attrs().MasterIndex
		}
	}
	for _, l := range links {
		if a := l.Attrs(); a.Index == master || a.ParentIndex == ifindex && l.Type() != "veth" {
			if o, _ := FindOccupant(a.Xdp); o != nil {
				return a.Name, o
			}
		}
	}
	return "", nil
}

// linkOf finds the bpf_link that attaches a program. `ip link` cannot detach such a program.
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
