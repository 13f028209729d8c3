//go:build linux

package hoststack

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/tap"
)

// cable is the TAP and the programs on it.
type cable struct {
	tap     *tap.Interface
	index   int
	named   string    // the interface's name in the alias
	mode    *ebpf.Map // what ingress consults
	generic bool
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
			c, err = nil, fault.Wrap(err, "reach the host stack of", cfg.Name(), "%s", hint(err))
		}
	}()
	if c.tap, err = tap.NewQueues(tapNames, queues); err != nil {
		return c, err
	}
	l, err := netlink.LinkByName(c.tap.Name())
	if err != nil {
		return c, err
	}
	c.index = l.Attrs().Index
	// The programs come first: nothing may pass that is not meant for us, in the moment in which the interface is up.
	if err = c.attach(cfg, queues); err != nil {
		return c, err
	}
	return c, c.bringUp(l, cfg)
}

// hint is what to do about an error of lay.
func hint(err error) string {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		return "" // it says so itself
	case errors.Is(err, syscall.EOPNOTSUPP):
		return "needs TCX, Linux 6.6"
	}
	return "needs CAP_NET_ADMIN and CAP_BPF"
}

// bringUp sets the TAP up such that nobody takes it for an interface of his own. What the host sends on it in spite of that,
// the filter drops.
func (c *cable) bringUp(l netlink.Link, cfg *Config) error {
	netlink.LinkSetIP6AddrGenMode(l, addrGenModeNone) // fails where there is no IPv6
	return errors.Join(
		c.label(cfg.Name()),
		netlink.LinkSetMTU(l, cfg.MTU()),
		netlink.LinkSetTxQLen(l, int(cfg.Slots)), // what is queued before it is lost
		netlink.LinkSetARPOff(l),
		netlink.LinkSetUp(l),
	)
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

// setGeneric says whether generic XDP is on the interface.
func (c *cable) setGeneric(on bool) {
	if on != c.generic {
		value := uint32(0)
		if on {
			value = 1
		}
		c.mode.Put(uint32(0), value)
		c.generic = on
	}
}

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
	if c.mode != nil {
		c.mode.Close()
	}
}
