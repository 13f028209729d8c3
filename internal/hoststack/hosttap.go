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

// hostTAP is the TAP interface through which the host stack is reached, with its BPF programs.
type hostTAP struct {
	dev     *tap.Interface
	index   int
	named   string // the interface's name as it stands in the TAP's alias
	ingress link.Link
}

// tapNames is the pattern of the TAPs' names. The kernel fills in the number; the TAP's alias names
// the interface that it serves.
const tapNames = "netmap-host%d"

// newHostTAP makes the TAP in the calling thread's network namespace, which is the interface's.
func newHostTAP(cfg *Config, queues int) (c *hostTAP, err error) {
	c = &hostTAP{}
	defer func() {
		if err != nil {
			c.close()
			c, err = nil, fault.Wrap(err, reach, cfg.Name(), "")
		}
	}()
	if c.dev, err = tap.NewQueues(tapNames, cfg.Layer, queues); err != nil {
		return c, err
	}
	l, err := netlink.LinkByName(c.dev.Name())
	if err != nil {
		return c, fault.Wrap(err, "find interface", c.dev.Name(), "")
	}
	c.index = l.Attrs().Index
	// The programs are attached before the TAP is up, so that no frame passes unfiltered.
	if err = c.attach(cfg, queues); err != nil {
		return c, err
	}
	return c, c.bringUp(l, cfg)
}

// bringUp sets the TAP up and keeps the host from using it as an ordinary interface: no ARP, no
// IPv6 address. The filter program drops what the host sends on it anyway. The TAP's MTU has no
// effect, but people see it.
func (c *hostTAP) bringUp(l netlink.Link, cfg *Config) error {
	netlink.LinkSetIP6AddrGenMode(l, addrGenModeNone) // fails in kernels without IPv6
	for _, step := range []struct {
		what string
		how  func() error
	}{
		{"name the owner of", func() error { return c.label(cfg.Name()) }},
		{"set MTU of", func() error { return netlink.LinkSetMTU(l, cfg.Layer.MTU(cfg.MTU())) }},
		// This number of frames waits in the TAP before one is lost.
		{"set queue length of", func() error { return netlink.LinkSetTxQLen(l, int(cfg.Slots)) }},
		{"switch ARP off on", func() error { return netlink.LinkSetARPOff(l) }},
		{"set up", func() error { return netlink.LinkSetUp(l) }},
	} {
		if err := step.how(); err != nil {
			return linkHints.Wrap(err, step.what, l.Attrs().Name)
		}
	}
	return nil
}

// linkHints are the hints for errors of changing an interface through netlink.
var linkHints = fault.Hints{
	syscall.EPERM:  "needs CAP_NET_ADMIN in the network namespace",
	syscall.ENODEV: "somebody has deleted the interface",
}

// label writes the interface's name into the TAP's alias.
func (c *hostTAP) label(name string) error {
	if name == c.named {
		return nil
	}
	c.named = name
	l := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: c.index}}
	return netlink.LinkSetAlias(l, fmt.Sprintf("netmap: host rings of %s, leave alone", name))
}

const addrGenModeNone = 1 // (IN6_ADDR_GEN_MODE_NONE)

// dropped counts the frames that found no room in the TAP's queue.
func (c *hostTAP) dropped() uint64 {
	if l, err := netlink.LinkByIndex(c.index); err == nil && l.Attrs().Statistics != nil {
		return l.Attrs().Statistics.TxDropped
	}
	return 0
}

// close removes the TAP and the programs. The TAP is closed first: it takes its programs along, and
// closing a link that is already detached does not wait.
func (c *hostTAP) close() {
	if c.dev != nil {
		c.dev.Close()
	}
	if c.ingress != nil {
		c.ingress.Close()
	}
}
