//go:build linux

package nicfacts

import (
	"slices"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// Auto makes netmap choose the mode.
const Auto = "auto"

// modes are the modes that users can choose.
var modes = []struct {
	name string
	mode xsk.Mode
}{{"zero-copy", xsk.ZeroCopy}, {"native", xsk.Native}, {"generic", xsk.Generic}}

// ModeNames returns the names that ParseMode takes.
func ModeNames() []string {
	names := []string{Auto}
	for _, m := range modes {
		names = append(names, m.name)
	}
	return names
}

// ParseMode returns the mode of a name; nil for Auto and "". EINVAL for an unknown name.
func ParseMode(name string) (*xsk.Mode, error) {
	if name == "" || name == Auto {
		return nil, nil
	}
	for _, m := range modes {
		if m.name == name {
			return &m.mode, nil
		}
	}
	return nil, fault.New(syscall.EINVAL, "choose", "XDP mode "+name,
		"there is none of that name; want one of %s", strings.Join(ModeNames(), ", "))
}

// foreignQueues contains the kinds and drivers that run an interface's XDP program on queues of
// other interfaces, with the reason. A socket receives only from a queue that is marked as its
// interface's and has its number (xsk_rcv_check). In generic mode the mark is the interface that
// the frame has reached, not the one that it came through.
var foreignQueues = map[string]string{
	"bond": "a bond has its members' drivers run XDP programs, " +
		"and their frames reach sockets of the members only",
	"hv_netvsc": "its driver has a virtual function run XDP programs, too, " +
		"whose frames reach no socket of this interface",
	"fsl_dpa":     "its driver gives queues numbers of its own, which fit no socket",
	"mtk_soc_eth": "its driver receives for all ports on queues of no port, which fit no socket",
}

// ownQueues are the kinds of interfaces that run XDP programs on their own queues.
var ownQueues = []string{"", "device", "veth", "tun", "tuntap", "netdevsim"}

// IsAbove reports whether frames come through other interfaces.
func (f *Facts) IsAbove() bool {
	return foreignQueues[f.Kind] != "" || f.Driver == "hv_netvsc" ||
		!slices.Contains(ownQueues, f.Kind)
}

// untagging contains the kinds of interfaces whose frames pass kernel code that removes VLAN tags.
var untagging = []string{"bond", "team", "bridge", "macvlan", "macvtap", "ipvlan"}

// isUntagged reports whether the kernel removes the VLAN tag from frames before they arrive here.
func (f *Facts) isUntagged() bool {
	return slices.Contains(untagging, f.Kind) || f.Driver == "hv_netvsc"
}

// silent contains the kinds of interfaces on which no frame arrives in any mode, with the reason.
var silent = map[string]string{
	"vrf": "what members of a VRF receive does not pass through it: open the members",
	"ifb": "what is redirected to an ifb passes through no XDP program: " +
		"open the interface that it comes from",
}

// deaf returns why a socket receives nothing in the driver's XDP mode; "" if it receives. sure
// tells whether the answer is certain. For unknown kinds of virtual interfaces that report XDP, it
// is only likely: their XDP programs probably run on the interfaces below.
func (f *Facts) deaf() (why string, sure bool) {
	for _, name := range []string{f.Kind, f.Driver} {
		if why = foreignQueues[name]; why != "" {
			return why, true
		}
	}
	if !slices.Contains(ownQueues, f.Kind) {
		return "a " + f.Kind +
			" has other interfaces receive for it, and sockets of it get no frame of theirs", false
	}
	return "", false
}

// Choice is the mode in which frames will be exchanged, and why.
type Choice struct {
	Mode xsk.Mode // the mode that is expected to work
	Why  string
	Try  []xsk.Mode // the modes to try in this order, until one works
}

// AsAsked is the reason for a mode that the user chose.
const AsAsked = "as asked for"

// Choose chooses the mode of an interface: the wish, or the best mode in which a socket receives if
// wish is nil. A driver that reports no XDP is tried, too: some report none because of a setting
// that netmap changes first. EOPNOTSUPP for a wish with which the interface would receive nothing.
func (f *Facts) Choose(wish *xsk.Mode) (Choice, error) {
	why, sure := f.deaf()
	inTurn := []xsk.Mode{xsk.ZeroCopy, xsk.Native, xsk.Generic}
	switch {
	case wish != nil && *wish != xsk.Generic && sure:
		return Choice{}, fault.New(syscall.EOPNOTSUPP, "choose XDP mode", wish.String(),
			"nothing would be received: %s; use --xdp-mode generic, or auto", why)
	case wish != nil:
		return Choice{*wish, AsAsked, []xsk.Mode{*wish}}, nil
	case sure, why != "" && (f.XDP == nil || f.XDP.Native()):
		return Choice{xsk.Generic, why, []xsk.Mode{xsk.Generic}}, nil
	case f.XDP == nil:
		return Choice{xsk.Native, "if the driver has XDP, else generic; this kernel does not tell",
			inTurn}, nil
	case f.XDP.ZeroCopy():
		return Choice{xsk.ZeroCopy, "the driver has it; native copy where it does not take the buffers",
			inTurn}, nil
	case f.XDP.Native():
		return Choice{xsk.Native, "the driver has XDP, but no zero-copy", inTurn[1:]}, nil
	}
	return Choice{xsk.Generic, "the driver has no XDP", inTurn[1:]}, nil
}
