package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

const infoHelp = `info shows the network interfaces of this network namespace as netmap sees them:
driver, link, queues, ring sizes, which kinds of XDP work, which one netmap will
use and why, whether an XDP program is attached already, and which settings are
in the way, each with the command that repairs it. netmap doctor does the same
for the whole machine.

The mode is the best in which the interface can receive. In zero-copy mode the
driver uses netmap's buffers itself. In native mode the driver runs the XDP
program, and the kernel copies. In generic mode the network stack does both. A
bond needs generic mode: in native mode its members' drivers run the program,
and frames never reach sockets of the bond. --xdp-mode of netmap serve, and of
commands that open interfaces themselves, chooses another mode.

info changes nothing, and works without privileges, although it then sees less.
What it shows about XDP is what the driver claims. --probe attaches a program
and opens a socket in each mode, for a moment. That needs privileges, takes the
traffic of the interface for that moment, and resets the link of some cards.`

// NewInfo returns the command netmap info.
func NewInfo() *cobra.Command {
	var asJSON, probe bool
	cmd := &cobra.Command{
		Use:               "info [interface...]",
		Short:             "Show what network interfaces can do for netmap, and what is in their way",
		Long:              infoHelp,
		ValidArgsFunction: cli.Interfaces,
		RunE: func(cmd *cobra.Command, names []string) error {
			list, err := inspect(names)
			if err != nil {
				return err
			}
			if probe {
				for _, n := range list {
					n.probe(cmd.Context(), takeover.DefaultDir())
				}
			}
			return show(cmd.OutOrStdout(), list, asJSON)
		},
	}
	cmd.Flags().BoolVar(&probe, "probe", false, "try out each mode of XDP; disturbs the interface")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, one object an interface")
	return cmd
}

// nicInfo is everything known about an interface.
type nicInfo struct {
	Name    string    `json:"name"`
	Index   int       `json:"index"`
	Kind    string    `json:"kind,omitempty"` // if it is not a card: veth, tun, loopback
	Driver  string    `json:"driver,omitempty"`
	MAC     string    `json:"mac,omitempty"`
	MTU     int       `json:"mtu"`
	Link    string    `json:"link"`                 // "up", "down" or "no carrier"
	Speed   int       `json:"speed_mbps,omitempty"` // 0 is unknown
	RxQueue int       `json:"rx_queues"`
	TxQueue int       `json:"tx_queues"`
	Channel *channels `json:"channels,omitempty"`
	Slots   *slots    `json:"slots,omitempty"`
	XDP     xdpInfo   `json:"xdp"`
	Mode    string    `json:"mode"` // that netmap will use, and why
	Why     string    `json:"mode_why"`
	Advice  []finding `json:"in_the_way,omitempty"`
	Unseen  []string  `json:"not_seen,omitempty"` // what could not be read, and why

	features  ethtool.Features
	peer      string // of a veth, if it is in this namespace
	peerIndex int
	facts     nicfacts.Facts
	below     []lower
	bufSize   uint32    // of netmap's buffers; 0 for the default
	findings  []finding // all findings; Advice has those that are not fine
}

// channels are the queues of a card, and their maxima.
type channels ethtool.Channels

// slots are the sizes of the rings of a card.
type slots struct {
	Rx    int `json:"rx"`
	Tx    int `json:"tx"`
	MaxRx int `json:"max_rx"`
	MaxTx int `json:"max_tx"`
}

// inspect reads the interfaces with those names, or all.
func inspect(names []string) ([]*nicInfo, error) {
	links, err := findLinks(names)
	if err != nil {
		return nil, err
	}
	list := make([]*nicInfo, 0, len(links))
	for _, l := range links {
		list = append(list, inspectLink(l))
	}
	return list, nil
}

func findLinks(names []string) (links []netlink.Link, err error) {
	if len(names) == 0 {
		if links, err = netlink.LinkList(); err != nil {
			return nil, fmt.Errorf("list network interfaces: %w", err)
		}
		return links, nil
	}
	for _, name := range names {
		l, err := netlink.LinkByName(strings.TrimPrefix(name, "netmap:"))
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil, fmt.Errorf("there is no interface %q in this network namespace: "+
				"netmap info without a name lists all", name)
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", name, err)
		}
		links = append(links, l)
	}
	return links, nil
}

// inspectLink reads what it can. It notes and skips what fails.
func inspectLink(l netlink.Link) *nicInfo {
	a := l.Attrs()
	n := &nicInfo{
		Name: a.Name, Index: a.Index, MAC: a.HardwareAddr.String(), MTU: a.MTU, Link: linkState(a),
		facts: *nicfacts.Ask(l),
	}
	if k := l.Type(); a.Flags&net.FlagLoopback != 0 {
		n.Kind = "loopback"
	} else if k != "device" {
		n.Kind = k
	}
	for _, ask := range []struct {
		what string
		how  func() error
	}{
		{"speed", n.askSpeed},
		{"ring sizes", n.askSlots},
		{"offloads", n.askFeatures},
	} {
		if err := ask.how(); err != nil && !unsupported(err) {
			n.unseen(ask.what, err)
		}
	}
	n.attached(a.Xdp)
	n.know()
	if l.Type() == "veth" {
		n.findPeer(a)
	} else {
		n.findBelow()
	}
	n.advise()
	return n
}

// know collects the facts that opening the interface would find.
func (n *nicInfo) know() {
	n.Driver, n.Channel = n.facts.Driver, (*channels)(n.facts.Channels)
	n.RxQueue, n.TxQueue = n.facts.Queues().Rx, n.facts.Queues().Tx
	if n.facts.XDP != nil {
		n.XDP.set(*n.facts.XDP)
	}
	for _, err := range n.facts.Errs {
		n.Unseen = append(n.Unseen, err.Error())
	}
}

func (n *nicInfo) unseen(what string, err error) {
	n.Unseen = append(n.Unseen, fmt.Sprintf("%s: %v", what, err))
}

func linkState(a *netlink.LinkAttrs) string {
	const running = 0x40 // IFF_RUNNING
	switch {
	case a.RawFlags&1 == 0: // IFF_UP
		return "down"
	case a.RawFlags&running == 0:
		return "no carrier"
	}
	return "up"
}

// findPeer finds the other end of a veth, if it is in this namespace.
func (n *nicInfo) findPeer(a *netlink.LinkAttrs) {
	if a.NetNsID >= 0 || a.ParentIndex == 0 {
		return
	}
	if p, err := netlink.LinkByIndex(a.ParentIndex); err == nil {
		n.peer, n.peerIndex = p.Attrs().Name, a.ParentIndex
	}
}

// lower is an interface through which frames of another arrive.
type lower struct {
	name    string
	program *xsk.Occupant
	joins   []string // active features that join frames, and can be switched off
}

// findBelow finds the interfaces through which frames arrive, if they are in this namespace.
func (n *nicInfo) findBelow() {
	below, err := nicfacts.FindBelow(n.Index)
	if err != nil {
		n.unseen("interfaces below", err)
	}
	for _, b := range below {
		l := lower{name: b.Name}
		l.program, _ = xsk.FindOccupant(b.XDP)
		if f, err := ethtool.AskFeatures(b.Index); err == nil {
			stays := func(name string) bool { return !f.Active[name] || !f.Changeable[name] }
			l.joins = slices.DeleteFunc(slices.Clone(takeover.Joining), stays)
		}
		n.below = append(n.below, l)
	}
}

func show(w io.Writer, list []*nicInfo, asJSON bool) error {
	for i, n := range list {
		if asJSON {
			if err := json.NewEncoder(w).Encode(n); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if _, err := io.WriteString(w, n.text()); err != nil {
			return err
		}
	}
	return nil
}

// text describes the interface for people.
func (n *nicInfo) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s: %s\n", n.Name, strings.Join(n.headline(), ", "))
	line("queues", "%s", n.queues())
	if s := n.Slots; s != nil {
		line("slots", "%d rx of %d, %d tx of %d", s.Rx, s.MaxRx, s.Tx, s.MaxTx)
	}
	if need := n.need(); need.buffers <= need.all {
		line("memory", "%v", need)
	}
	line("XDP", "%s", n.XDP.modes())
	for _, p := range n.XDP.Probed {
		line("", "%s", p)
	}
	line("mode", "%s: %s", n.Mode, n.Why)
	if p := n.XDP.Program; p != nil {
		line("program", "%s", p)
	}
	for _, a := range n.Advice {
		line("in the way", "%s", a.Text)
		if a.Command != "" {
			line("", "  %s", a.Command)
		}
	}
	for _, u := range n.Unseen {
		line("not seen", "%s", u)
	}
	return b.String()
}

func (n *nicInfo) headline() []string {
	var list []string
	for _, s := range []string{n.Driver, n.MAC, fmt.Sprintf("MTU %d", n.MTU), "link " + n.Link} {
		if s != "" {
			list = append(list, s)
		}
	}
	if n.Speed > 0 {
		list = append(list, fmt.Sprintf("%d Mbit/s", n.Speed))
	}
	return list
}

func (n *nicInfo) queues() string {
	c := n.Channel
	if c == nil {
		return fmt.Sprintf("%d rx, %d tx", n.RxQueue, n.TxQueue)
	}
	var parts []string
	for _, p := range []struct {
		now, most int
		name      string
	}{{c.Combined, c.MaxCombined, "rx and tx"}, {c.Rx, c.MaxRx, "rx"}, {c.Tx, c.MaxTx, "tx"}} {
		if p.most > 0 {
			parts = append(parts, fmt.Sprintf("%d %s of at most %d", p.now, p.name, p.most))
		}
	}
	used := ethtool.Queues{Rx: n.RxQueue, Tx: n.TxQueue}
	if used != (ethtool.Queues{Rx: c.Rx + c.Combined, Tx: c.Tx + c.Combined}) {
		parts = append(parts, fmt.Sprintf("netmap uses %d rx and %d tx", used.Rx, used.Tx))
	}
	return strings.Join(parts, ", ")
}
