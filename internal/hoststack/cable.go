//go:build linux

package hoststack

import (
	"fmt"
	"syscall"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/tap"
)

// cable is the TAP and the programs on it.
type cable struct {
	tap     *tap.Interface
	index   int
	named   string // the interface's name in the alias
	ingress link.Link
}

// tapNames are the names of the TAPs. The kernel fills the number in; the interface's alias says whose it is.
const tapNames = "netmap-host%d"

// lay makes a cable, in the namespace of the interface, which is the calling thread's.
func lay(cfg *Config, queues int) (c *cable, err error) {
	c = &cable{}
	defer func() {
		if err != nil {
			c.close()
			c, err = nil, fault.Wrap(err, reach, cfg.Name(), "")
		}
	}()
	if c.tap, err = tap.NewQueues(tapNames, cfg.Layer, queues); err != nil {
		return c, err
	}
	l, err := netlink.LinkByName(c.tap.Name())
	if err != nil {
		return c, fault.Wrap(err, "find interface", c.tap.Name(), "")
	}
	c.index = l.Attrs().Index
	// The programs come first: nothing may pass that is not meant for us, in the moment in which the interface is up.
	if err = c.attach(cfg, queues); err != nil {
		return c, err
	}
	return c, c.bringUp(l, cfg)
}

// bringUp sets the TAP up such that nobody takes it for an interface of his own. What the host
// sends on it in spite of that, the filter drops. Its MTU is for people to see: frames come from
// the interface and go there, whose own MTU counts.
func (c *cable) bringUp(l netlink.Link, cfg *Config) error {
	netlink.LinkSetIP6AddrGenMode(l, addrGenModeNone) // fails where there is no IPv6
	for _, step := range []struct {
		what string
		how  func() error
	}{
		{"name the owner of", func() error { return c.label(cfg.Name()) }},
		{"set MTU of", func() error { return netlink.LinkSetMTU(l, cfg.Layer.MTU(cfg.MTU())) }},
		{"set queue length of", func() error { return netlink.LinkSetTxQLen(l, int(cfg.Slots)) }}, // what is queued before it is lost
		{"switch ARP off on", func() error { return netlink.LinkSetARPOff(l) }},
		{"set up", func() error { return netlink.LinkSetUp(l) }},
	} {
		if err := step.how(); err != nil {
			return linkHints.Wrap(err, step.what, l.Attrs().Name)
		}
	}
	return nil
}

// linkHints are for changing an interface through netlink.
var linkHints = fault.Hints{
	syscall.EPERM:  "needs CAP_NET_ADMIN in the network namespace",
	syscall.ENODEV: "somebody has deleted the interface",
}

// label says whose cable it is, in its alias.
func (c *cable) label(name string) error {
	if name == c.named {
		return nil
	}
	c.named = name
	l := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: c.index}}
	return netlink.LinkSetAlias(l, fmt.Sprintf("netmap: host rings of %s, leave alone", name))
}

const addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE

// dropped counts what the TAP had no room for.
func (c *cable) dropped() uint64 {
	if l, err := netlink.LinkByIndex(c.index); err == nil && l.Attrs().Statistics != nil {
		return l.Attrs().Statistics.TxDropped
	}
	return 0
}

// close takes everything away. The TAP goes first and takes the programs along, which saves waiting for them.
func (c *cable) close() {
	if c.tap != nil {
		c.tap.Close()
	}
	if c.ingress != nil {
		c.ingress.Close()
	}
}
