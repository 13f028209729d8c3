//go:build linux

package nic

import (
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// peerPatience is the shortest time between two lookups of the other end of a veth pair that its
// refusals cause.
const peerPatience = 10 * time.Millisecond

// askPeer makes the watcher look up how long frames may be for the other end of a veth pair.
func (w *watcher) askPeer() {
	select {
	case w.asked <- struct{}{}:
	default:
	}
}

// lookUpPeer finds out how long frames may be for the other end of a veth pair. That end's MTU
// decides.
func (w *watcher) lookUpPeer() {
	if w.port.link.facts.Driver != "veth" {
		return
	}
	w.looked = time.Now()
	mtu := 0
	w.inNamespace(func() error {
		l, err := netlink.LinkByIndex(w.port.link.index)
		if err == nil {
			mtu, err = peerMTU(l.Attrs())
		}
		return err
	})
	if mtu > 0 {
		mtu += frameOverhead
	}
	w.port.limits.peer.Store(uint32(mtu))
}

// peerMTU returns the MTU of the interface at the other end, which may be in another network
// namespace.
func peerMTU(a *netlink.LinkAttrs) (int, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(a.ParentIndex)
	req.AddData(msg)
	if a.NetNsID >= 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(a.NetNsID))))
	}
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil || len(answers) == 0 {
		return 0, err
	}
	l, err := netlink.LinkDeserialize(nil, answers[0])
	if err != nil {
		return 0, err
	}
	return l.Attrs().MTU, nil
}
