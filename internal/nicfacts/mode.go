//go:build linux

package nicfacts

import (
	"slices"
	"strings"
	"syscall"

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

// ModeNames are what ParseMode takes.
func ModeNames() []string {
	names := []string{Auto}
	for _, m := range modes {
		names = append(names, m.name)
	}
	return names
}

// ParseMode is the mode of a name, nil for Auto and "". EINVAL for a name that means no mode.
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

// strangers are drivers that run the program of an interface on queues which are not that
// interface's. A socket receives only what comes through a queue that is said to be of its
// interface, and has its number (xsk_rcv_check). In generic mode that is the interface to which the
// frame has got, whichever it came through.
var strangers = map[string]string{
	"bond":        "a bond has its members' drivers run XDP programs, and their frames reach sockets of the members only",
	"hv_netvsc":   "its driver has a virtual function run XDP programs, too, whose frames reach no socket of this interface",
	"fsl_dpa":     "its driver gives queues numbers of its own, which fit no socket",
	"mtk_soc_eth": "its driver receives for all ports on queues of no port, which fit no socket",
}

// runners are the virtual interfaces that run XDP programs on queues of their own.
var runners = []string{"", "device", "veth", "tun", "tuntap", "netdevsim"}

// IsAbove says whether frames come through other interfaces.
func (f *Facts) IsAbove() bool {
	return strangers[f.Kind] != "" || f.Driver == "hv_netvsc" || !slices.Contains(runners, f.Kind)
}

// untagging are virtual interfaces whose frames pass a place in the kernel that takes out VLAN
// tags.
var untagging = []string{"bond", "team", "bridge", "macvlan", "macvtap", "ipvlan"}

// isUntagged says whether the kernel takes the VLAN tag out of frames before they arrive here.
func (f *Facts) isUntagged() bool {
	return slices.Contains(untagging, f.Kind) || f.Driver == "hv_netvsc"
}

// silent are virtual interfaces on which nothing arrives, in any mode.
var silent = map[string]string{
	"vrf": "what members of a VRF receive does not pass through it: open the members",
	"ifb": "what is redirected to an ifb passes through no XDP program: open the interface that it comes from",
}

// deaf says why a socket receives nothing in the driver's XDP, "" if it does. Sure is whether that
// is known. Of virtual interfaces of other kinds it is to be expected: one that says that it has
// XDP will have those run it through which it receives.
func (f *Facts) deaf() (why string, sure bool) {
	for _, name := range []string{f.Kind, f.Driver} {
		if why = strangers[name]; why != "" {
			return why, true
		}
	}
	if !slices.Contains(runners, f.Kind) {
		return "a " + f.Kind +
			" has other interfaces receive for it, and sockets of it get no frame of theirs", false
	}
	return "", false
}

// Choice is how frames will travel.
type Choice struct {
	Mode xsk.Mode // what is expected to work
	Why  string
	Try  []xsk.Mode // one after the other, until one works
}

// AsAsked is why a mode is used that the user chose.
const AsAsked = "as asked for"

// Choose decides how an interface's frames travel: as is wished, or, if that is nil, in the best
// mode in which a socket of it can receive. A driver that says that it has no XDP is asked all the
// same: some lose it to a setting that netmap changes first. EOPNOTSUPP for a wish with which the
// interface would receive nothing.
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
