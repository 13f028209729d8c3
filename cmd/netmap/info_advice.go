package main

import (
	"fmt"
	"strconv"
)

const (
	// bufSize is the size of netmap's buffers, unless it is configured.
	bufSize = 2048
	// etherOverhead is what a frame has beside what the MTU counts, with a VLAN tag.
	etherOverhead = 18
)

// advice is a setting that is in netmap's way, and the command that mends it.
type advice struct {
	Problem string `json:"problem"`
	Command string `json:"command,omitempty"`
}

// offloads that change frames before netmap sees them, by their name in the kernel.
var offloads = []struct{ feature, ethtool, problem string }{
	{"rx-lro", "lro", "LRO joins received frames: they are no longer those that were on the wire"},
	{"rx-gro-hw", "rx-gro-hw", "GRO in the card joins received frames: they are no longer those that were on the wire"},
	{"rx-vlan-hw-parse", "rxvlan", "the card takes the VLAN tag out of received frames, and AF_XDP does not tell what it was"},
}

// nativeMTU is the largest MTU with which a driver takes an XDP program.
var nativeMTU = map[string]int{"virtio_net": 3506, "vmxnet3": 3506, "igb": 2022}

// advise finds what is in the way.
func (n *nicInfo) advise() (list []advice) {
	add := func(command, problem string, args ...any) {
		list = append(list, advice{fmt.Sprintf(problem, args...), command})
	}
	for _, o := range offloads {
		changeable, on := n.features[o.feature]
		switch {
		case n.Kind != "": // what is no card has the features in name only
		case on && changeable:
			add("ethtool -K "+n.Name+" "+o.ethtool+" off", "%s", o.problem)
		case on:
			add("", "%s; the driver does not let it be switched off", o.problem)
		}
	}
	if n.Kind == "veth" {
		n.adviseVeth(add)
	}
	if c := n.Channel; c != nil && n.Driver == "virtio_net" && c.Combined < c.MaxCombined {
		add("ethtool -L "+n.Name+" combined "+strconv.Itoa(c.MaxCombined),
			"virtio_net loses frames in native mode while fewer queues are in use than there are (%d of %d)", c.Combined, c.MaxCombined)
	}
	if most := nativeMTU[n.Driver]; most > 0 && n.MTU > most {
		add("ip link set dev "+n.Name+" mtu 1500", "%s takes XDP programs up to an MTU of %d only: what is left is generic mode", n.Driver, most)
	}
	if n.MTU+etherOverhead > bufSize && n.Kind != "loopback" {
		add("ip link set dev "+n.Name+" mtu "+strconv.Itoa(bufSize-etherOverhead),
			"frames of MTU %d do not fit into buffers of %d bytes: lower it, or configure larger buffers", n.MTU, bufSize)
	}
	if n.Link == "down" {
		add("ip link set dev "+n.Name+" up", "the interface is down")
	}
	if p := n.XDP.Program; p != nil {
		add("", "an XDP program is attached (%v): stop its owner", p)
	}
	return list
}

// adviseVeth looks at the peer, whose transmitted frames arrive here.
func (n *nicInfo) adviseVeth(add func(command, problem string, args ...any)) {
	const problem = "the other end leaves checksums to a card that does not exist: TCP stalls where frames are taken from here"
	if n.peer == "" {
		add("ethtool -K PEER tx off", problem+" (its name is PEER in its own namespace)")
		return
	}
	peer := &nicInfo{Name: n.peer, Index: n.peerIndex}
	if peer.askFeatures() != nil {
		return
	}
	if _, on := peer.features["tx-checksum-ip-generic"]; on {
		add("ethtool -K "+n.peer+" tx off", problem)
	}
}
