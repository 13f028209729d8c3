//go:build linux

package nic

import (
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// Auto has netmap choose the mode.
const Auto = "auto"

// modes are the modes that users can ask for.
var modes = []struct {
	name string
	mode xsk.Mode
}{{"zero-copy", xsk.ZeroCopy}, {"native", xsk.Native}, {"generic", xsk.Generic}}

// ModeNames are what SetMode takes.
func ModeNames() []string {
	names := []string{Auto}
	for _, m := range modes {
		names = append(names, m.name)
	}
	return names
}

// SetMode sets the mode by its name; "" is Auto. EINVAL for a name that means no mode.
func (c *Config) SetMode(name string) error {
	if c.Mode = nil; name == "" || name == Auto {
		return nil
	}
	for _, m := range modes {
		if m.name == name {
			c.Mode = &m.mode
			return nil
		}
	}
	return fault.New(syscall.EINVAL, "choose", "XDP mode "+name, "there is none of that name; want one of %s", strings.Join(ModeNames(), ", "))
}

// Traits are what there is to know about an interface for choosing a mode.
type Traits struct {
	Kind     string // of a virtual interface, as "ip -d link" says it: bond, vlan, veth; "" and "device" are cards
	Driver   string
	Known    bool // whether the kernel tells what follows: Linux 6.3 and later
	Native   bool // its driver runs XDP programs
	ZeroCopy bool // and has zero-copy
	Segments int  // buffers that a zero-copy frame may span
}

// AskTraits asks the kernel about an interface of the calling thread's network namespace.
func AskTraits(l netlink.Link) Traits {
	a := l.Attrs()
	t := Traits{Kind: l.Type()}
	t.Driver, _ = ethtool.AskDriver(a.Name)
	x, err := ethtool.AskXDP(a.Index)
	t.Known = err == nil
	t.Native = x.Features&ethtool.XDPBasic != 0 && x.Features&ethtool.XDPRedirect != 0
	t.ZeroCopy = t.Native && x.Features&ethtool.XDPZeroCopy != 0
	t.Segments = x.Segments
	return t
}

// strangers are drivers that run the program of an interface on queues which are not that interface's. A socket receives only what
// comes through a queue that is said to be of its interface, and has its number. // xsk_rcv_check
// In generic mode that is the interface to which the frame has got, whichever it came through.
var strangers = map[string]string{
	"bond":        "a bond has its members' drivers run XDP programs, and their frames reach sockets of the members only",
	"hv_netvsc":   "its driver has a virtual function run XDP programs, too, whose frames reach no socket of this interface",
	"fsl_dpa":     "its driver gives queues numbers of its own, which fit no socket",
	"mtk_soc_eth": "its driver receives for all ports on queues of no port, which fit no socket",
}

// runners are the virtual interfaces that run XDP programs on queues of their own.
var runners = []string{"", "device", "veth", "tun", "tuntap", "netdevsim"}

// isAbove says whether frames come through other interfaces.
func (t Traits) isAbove() bool {
	return strangers[t.Kind] != "" || t.Driver == "hv_netvsc" || !slices.Contains(runners, t.Kind)
}

// untagging are virtual interfaces whose frames pass a place in the kernel before that takes out VLAN tags.
var untagging = []string{"bond", "team", "bridge", "macvlan", "macvtap", "ipvlan"}

// Untagged says whether the kernel takes the VLAN tag out of frames before they arrive on the interface.
func (t Traits) Untagged() bool { return slices.Contains(untagging, t.Kind) || t.Driver == "hv_netvsc" }

// silent are virtual interfaces on which nothing arrives, in any mode.
var silent = map[string]string{
	"vrf": "what members of a VRF receive does not pass through it: open the members",
	"ifb": "what is redirected to an ifb passes through no XDP program: open the interface that it comes from",
}

// Silent says why nothing that comes from outside arrives on the interface; "" if it does.
func (t Traits) Silent() string { return silent[t.Kind] }

// deaf says why a socket receives nothing in the driver's XDP, "" if it does. Sure is whether that is known. Of virtual interfaces
// of other kinds it is to be expected: one that says that it has XDP will have those run it through which it receives.
func (t Traits) deaf() (why string, sure bool) {
	for _, name := range []string{t.Kind, t.Driver} {
		if why = strangers[name]; why != "" {
			return why, true
		}
	}
	if !slices.Contains(runners, t.Kind) {
		return fmt.Sprintf("a %s has other interfaces receive for it, and sockets of it get no frame of theirs", t.Kind), false
	}
	return "", false
}

// Choice is how frames will travel.
type Choice struct {
	Mode xsk.Mode // what is expected to work
	Why  string
	Try  []xsk.Mode // one after the other, until one works
}

// Choose decides how an interface's frames travel: as is wished, or, if that is nil, in the best mode in which a socket of it can
// receive. A driver that says that it has no XDP is asked all the same: some lose it to a setting that netmap changes first.
// EOPNOTSUPP for a wish with which the interface would receive nothing.
func (t Traits) Choose(wish *xsk.Mode) (Choice, error) {
	why, sure := t.deaf()
	inTurn := []xsk.Mode{xsk.ZeroCopy, xsk.Native, xsk.Generic}
	switch {
	case wish != nil && *wish != xsk.Generic && sure:
		return Choice{}, fault.New(syscall.EOPNOTSUPP, "choose XDP mode", wish.String(), "nothing would be received: %s; use --xdp-mode generic, or auto", why)
	case wish != nil:
		return Choice{*wish, "as asked for", []xsk.Mode{*wish}}, nil
	case sure, why != "" && (t.Native || !t.Known):
		return Choice{xsk.Generic, why, []xsk.Mode{xsk.Generic}}, nil
	case !t.Known:
		return Choice{xsk.Native, "if the driver has XDP, else generic; this kernel does not tell", inTurn}, nil
	case t.ZeroCopy:
		return Choice{xsk.ZeroCopy, "the driver has it; native copy where it does not take the buffers", inTurn}, nil
	case t.Native:
		return Choice{xsk.Native, "the driver has XDP, but no zero-copy", inTurn[1:]}, nil
	}
	return Choice{xsk.Generic, "the driver has no XDP", inTurn[1:]}, nil
}
