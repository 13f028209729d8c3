package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

const (
	// etherOverhead is how much longer a frame is than the MTU, with a VLAN tag.
	etherOverhead = 18
	etherHead     = 14
	largeBuffer   = 4096
)

// maxFrame is the length of the longest frame that fits into a buffer.
func maxFrame(bufSize uint32) int {
	m := xsk.Memory{Stride: bufSize}
	return int(m.MaxFrame())
}

// nativeMTU is the largest MTU with which a driver accepts an XDP program.
var nativeMTU = map[string]int{"virtio_net": 3506, "vmxnet3": 3506, "igb": 2022}

// nicChecks are the checks of an interface.
var nicChecks = []check[*nicInfo]{
	{"link", (*nicInfo).checkLink},
	{"XDP", (*nicInfo).checkXDP},
	{"mode", (*nicInfo).checkMode},
	{"below", (*nicInfo).checkBelow},
	{"program", (*nicInfo).checkProgram},
	{"frames", (*nicInfo).checkFrames},
	{"MTU", (*nicInfo).checkMTU},
	{"queues", (*nicInfo).checkQueues},
	{"memory", (*nicInfo).checkMemory},
	{"offloads", (*nicInfo).checkOffloads},
	{"peer", (*nicInfo).checkPeer},
}

func (n *nicInfo) checkLink() []finding {
	if n.Link == "down" {
		return []finding{warning("ip link set dev "+n.Name+" up", "the interface is down")}
	}
	return []finding{ok("%s", n.Link)}
}

func (n *nicInfo) checkXDP() (list []finding) {
	if len(n.XDP.Probed) == 0 {
		return []finding{ok("%s", n.XDP.modes())}
	}
	works := false
	for _, p := range n.XDP.Probed {
		works = works || p.Works
	}
	for _, p := range n.XDP.Probed {
		f := ok("%v", p)
		if !works {
			f.Level = bad
		}
		list = append(list, f)
	}
	return list
}

// choose returns the mode that netmap uses by default, and why. Without trying, it may not be
// known.
func (n *nicInfo) choose() (mode xsk.Mode, why string) {
	c, _ := n.facts.Choose(nil) // without a requested mode there is no error
	switch most := nativeMTU[n.Driver]; {
	case c.Mode != xsk.Generic && most > 0 && n.MTU > most:
		return xsk.Generic, fmt.Sprintf("%s takes XDP programs up to an MTU of %d only", n.Driver, most)
	case len(n.XDP.Probed) == 0 || !n.XDP.works(xsk.Generic):
		return c.Mode, c.Why
	}
	for _, m := range c.Try {
		if n.XDP.works(m) && m != c.Mode {
			return m, "the first that works"
		} else if n.XDP.works(m) {
			break
		}
	}
	return c.Mode, c.Why
}

func (n *nicInfo) checkMode() []finding {
	mode, why := n.choose()
	return []finding{ok("netmap will use %v: %s", mode, why)}
}

// checkBelow checks the interfaces through which this one's frames arrive. An XDP program there may
// take frames before they get here.
func (n *nicInfo) checkBelow() (list []finding) {
	for _, l := range n.below {
		if l.program != nil {
			list = append(list, warning("",
				"%s, through which frames come, has XDP program %v: what that takes does not "+
					"arrive here", l.name, l.program))
		}
	}
	return list
}

func (n *nicInfo) checkProgram() []finding {
	switch p := n.XDP.Program; {
	case p == nil:
		return nil
	case p.Name == xsk.ProgramName:
		return []finding{ok("netmap has the interface: XDP program %v", p)}
	default:
		return []finding{failure(p.Detach(n.Name),
			"XDP program %v is attached: stop its owner, or detach it", p)}
	}
}

// checkFrames reports unexpected properties of the interface's frames.
func (n *nicInfo) checkFrames() (list []finding) {
	for _, note := range n.facts.Notes() {
		list = append(list, warning("", "%s", note))
	}
	if most, problem := n.facts.Longest(n.buffer()); problem != "" {
		list = append(list, warning("ip link set dev "+n.Name+" mtu "+strconv.Itoa(most-etherHead), "%s",
			problem))
	}
	return list
}

// buffer is the size of netmap's buffers.
func (n *nicInfo) buffer() uint32 { return cmp.Or(n.bufSize, mem.Default.Buf.Size) }

// severalSlots describes frames that are longer than a buffer.
const severalSlots = "frames of MTU %d take several buffers of %d bytes: " +
	"programs have to support such frames, and before Linux 6.6 the interface cannot be opened"

// checkMTU compares the MTU with the driver's limit for XDP programs, and with the size of buffers.
func (n *nicInfo) checkMTU() (list []finding) {
	if n.Kind == "loopback" {
		return nil
	}
	size := n.buffer()
	if most := nativeMTU[n.Driver]; most > 0 && n.MTU > most {
		list = append(list, warning("ip link set dev "+n.Name+" mtu 1500",
			"%s accepts XDP programs only up to an MTU of %d: only generic mode works", n.Driver, most))
	}
	need := n.MTU + etherOverhead
	switch {
	case need <= maxFrame(size):
		list = append(list, ok("%d, which fits into buffers of %d bytes", n.MTU, size))
	case need <= maxFrame(largeBuffer):
		list = append(list, warning("netmap serve --buffer-size "+strconv.Itoa(largeBuffer), severalSlots,
			n.MTU, size))
	default:
		list = append(list, warning("ip link set dev "+n.Name+" mtu "+
			strconv.Itoa(maxFrame(size)-etherOverhead), severalSlots, n.MTU, size))
	}
	return list
}

func (n *nicInfo) checkQueues() []finding {
	list := []finding{ok("%s", n.queues())}
	if n.Channel == nil {
		return list
	}
	now := ethtool.Channels(*n.Channel)
	if wish := takeover.WishChannels(n.Driver, now); wish != nil {
		list = append(list, ok("netmap uses all %d of them while it has the interface: "+
			"otherwise %s loses frames", wish.Combined, n.Driver))
	}
	return list
}

// need is the memory for an interface, and the cost for a daemon of the default size that has it
// open.
type need struct {
	buffers, all   int    // for its rings, and all of the daemon
	pinned, kernel uint64 // bytes
}

func (n *nicInfo) need() need {
	rx, tx := n.RxQueue, n.TxQueue
	if n.Channel != nil {
		c := ethtool.Channels(*n.Channel)
		if wish := takeover.WishChannels(n.Driver, c); wish != nil {
			c = *wish
		}
		rx, tx = c.Rx+c.Combined, c.Tx+c.Combined
	}
	size := cmp.Or(n.bufSize, mem.Default.Buf.Size)
	all := mem.Config{Buf: mem.Pool{Size: size}}.Buffers()
	pinned := uint64(all) * uint64(size)
	m := xsk.Memory{Stride: size}
	return need{buffers: (rx + tx) * int(nic.SlotsOf(max(rx, tx))), all: int(all),
		pinned: pinned, kernel: m.KernelBytes(pinned) * uint64(max(rx, tx))}
}

func (n need) String() string {
	return fmt.Sprintf("%d buffers of the %d of netmap serve, which takes %d MiB for all of them "+
		"and %d MiB of the kernel's while it has the interface",
		n.buffers, n.all, n.pinned>>20, n.kernel>>20)
}

func (n *nicInfo) checkMemory() []finding {
	need := n.need()
	if need.buffers > need.all {
		return []finding{warning("netmap serve --buffers "+
			strconv.Itoa(need.buffers+need.buffers/512+4096),
			"its rings take %d buffers, and netmap serve has %d", need.buffers, need.all)}
	}
	return []finding{ok("%v", need)}
}

// featureProblems describe offloads that change received frames in ways that netmap cannot undo.
var featureProblems = map[string]string{
	ethtool.FeatureLRO:   "LRO joins received frames: they differ from those on the wire",
	ethtool.FeatureGROHW: "GRO in the card joins received frames: they differ from those on the wire",
	ethtool.FeatureRxVLAN: "the card removes VLAN tags from received frames, " +
		"and AF_XDP does not show them",
	ethtool.FeatureRxSTag: "the card removes service tags from received frames, " +
		"and AF_XDP does not show them",
}

func (n *nicInfo) checkOffloads() (list []finding) {
	var changed []string
	for _, feature := range takeover.Breaking {
		switch {
		case !n.features.Active[feature]:
		case n.features.Changeable[feature]:
			changed = append(changed, feature)
		case n.Kind == "": // an interface that is not a card does not really have these features
			list = append(list, warning("", "%s; the driver does not let it be switched off",
				featureProblems[feature]))
		}
	}
	if len(changed) > 0 {
		list = append(list, ok("netmap switches off %s while it receives",
			strings.Join(changed, " and ")))
	}
	for _, l := range n.below {
		if len(l.joins) > 0 {
			list = append(list, ok("netmap switches off %s of %s while it receives: "+
				"frames that are joined there arrive joined here", strings.Join(l.joins, " and "), l.name))
		}
	}
	if len(list) == 0 {
		list = append(list, ok("none that changes received frames is on"))
	}
	return list
}

// checkPeer checks the other end of a veth. Frames arrive here as its host sent them.
func (n *nicInfo) checkPeer() []finding {
	if n.Kind != "veth" {
		return nil
	}
	const problem = "the other end leaves checksums to a card that does not exist: " +
		"TCP stalls when netmap receives its frames"
	if n.peer == "" {
		return []finding{warning("ethtool -K PEER tx off",
			problem+" (its name is PEER in its own namespace)")}
	}
	if f, err := ethtool.AskFeatures(n.peerIndex); err != nil || !f.Active[ethtool.FeatureTxCsum] {
		return nil
	}
	return []finding{warning("ethtool -K "+n.peer+" tx off", problem)}
}

// advise runs all checks again.
func (n *nicInfo) advise() {
	mode, why := n.choose()
	n.Mode, n.Why = mode.String(), why
	n.findings = examine(n, nicChecks)
	for i := range n.findings {
		n.findings[i].Interface = n.Name
	}
	n.Advice = slices.Clip(inTheWay(n.findings))
}
