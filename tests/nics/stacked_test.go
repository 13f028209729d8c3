//go:build linux

package nics

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// stacked lists interfaces that stand on others and whose drivers are in Debian's kernel. Each is
// tested on veth pairs, whose driver runs XDP programs:
//
//	   left                      right
//	top 10.78.0.1  <-------->  top 10.78.0.2
//	 |         |                |         |
//	m0        m1 <-- cable --> m1        m0
//	 ^--------------- cable --------------^
var stacked = []stack{
	{name: "bond, active-backup", what: bothAnd, add: addBond(netlink.BOND_MODE_ACTIVE_BACKUP),
		queues: 4, untags: true, test: testStackAndHost},
	{name: "bond, 802.3ad", what: both, add: addBond(netlink.BOND_MODE_802_3AD), lacp: true, queues: 4,
		untags: true, test: testStack},
	{name: "bond, balance-rr", what: both, add: addBond(netlink.BOND_MODE_BALANCE_RR), queues: 4,
		untags: true, test: testStack},
	{name: "team, roundrobin", what: both, add: addTeam, queues: 4, untags: true, test: testStack},
	{name: "VLAN", what: bothAnd, add: addVLAN, test: testStackAndHost},
	{name: "bond on a card", what: onCard, add: addBond(netlink.BOND_MODE_ACTIVE_BACKUP), queues: 4,
		untags: true, card: true, test: testOnCard},
	{name: "VRF", what: quiet, add: addVRF, test: testQuiet},
	{name: "wireguard", what: quiet, add: addWireguard, test: testQuiet},
}

const (
	both    = "frames both ways, then the host has the interface back"
	bothAnd = both + "; a forwarder to the host: ping and TCP"
	onCard  = both + "; TCP through a forwarder; " +
		"the card's offloads are put back, also after a kill"
	quiet = "opens, sends, waits: nothing arrives, nothing fails"
)

// stackedModules lists the kernel modules of these interfaces.
var stackedModules = []string{"bonding", "team", "team_mode_roundrobin", "8021q", "vrf",
	"wireguard"}

// stack is a kind of interface that stands on others.
type stack struct {
	name string
	what string // what is tested, for the table
	// add makes the interface in the calling thread's namespace. The members are down.
	add    func(attrs netlink.LinkAttrs, members []netlink.Link) error
	untags bool // frames arrive on it without VLAN tags
	test   func(t *testing.T, p *pair)
	queues int  // 0 for the driver's default
	lacp   bool // members negotiate whether frames pass
	// The left end stands on a card of the machine's last pair; the right end is the card at the
	// other end of its cable.
	card bool
}

const top = "top"

// runStacked tests all interfaces that stand on others.
func (l *lab) runStacked(t *testing.T) {
	for _, s := range stacked {
		if *oneTask != "" && *oneTask != s.name {
			continue
		}
		p := &pair{lab: l, card: card{Name: stackedCard}, strips: s.untags}
		r := result{Card: stackedCard, Scenario: s.name, Kernel: release()}
		start := time.Now()
		r.OK = t.Run(s.name, func(t *testing.T) {
			p.note = t.Logf
			members := p.build(t, s)
			before := members.settings(t)
			if s.lacp {
				p.negotiate(t)
			}
			s.test(t, p)
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(difference(before, members.settings(t)))
				}
			})
			eventually(t, "members are as they were", func() bool {
				return len(difference(before, members.settings(t))) == 0
			})
			p.wantEmpty(t)
		})
		r.Seconds, r.Mode = time.Since(start).Seconds(), p.mode
		wire.send(message{Result: &r})
	}
}

// stackedCard is the card's name in results of these interfaces.
const stackedCard = "stacked"

// build makes both ends, and returns the members of the left end.
func (p *pair) build(t *testing.T, s stack) *pair {
	t.Helper()
	if s.card {
		return p.buildOnCard(t, s)
	}
	left, right := testutil.NewNS(t), testutil.NewNS(t)
	for i := range 2 {
		name := fmt.Sprintf("m%d", i)
		testutil.Veth(t, left, name, right, name, 1)
	}
	for i, ns := range []*testutil.NS{left, right} {
		end := side{ns: ns, name: top, ip: fmt.Sprintf("10.78.0.%d", i+1),
			id: s.name + []string{", left", ", right"}[i]}
		var err error
		ns.Do(func() { err = s.up(end.ip, "m0", "m1") })
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		*[]*side{&p.a, &p.b}[i] = end
	}
	p.a.before, p.b.before = p.a.state(t), p.b.state(t)
	m := func(name string) side { return side{ns: left, name: name, id: name} }
	return &pair{a: m("m0"), b: m("m1")}
}

// negotiate waits until all members of both bonds receive and send. Frames that arrive before are
// dropped.
func (p *pair) negotiate(t *testing.T) {
	t.Helper()
	const passes = 0x30 // LACP_STATE_COLLECTING, LACP_STATE_DISTRIBUTING
	eventually(t, "members have negotiated", func() bool {
		for _, s := range []*side{&p.a, &p.b} {
			for _, l := range s.links(t) {
				m, ok := l.Attrs().Slave.(*netlink.BondSlave)
				if ok && uint16(m.AdActorOperPortState)&m.AdPartnerOperPortState&passes != passes {
					return false
				}
			}
		}
		return true
	})
}

// buildOnCard makes the left card of the last pair a member, and returns the pair. That pair has no
// further tests.
func (p *pair) buildOnCard(t *testing.T, s stack) *pair {
	t.Helper()
	cards := p.lab.pairs[len(p.lab.pairs)-1]
	cards.vacate(t)
	p.a = side{ns: cards.a.ns, name: top, ip: "10.78.0.1", id: s.name}
	p.b = side{ns: cards.b.ns, name: cards.b.name, ip: "10.78.0.2", id: cards.b.id}
	var err error
	p.a.ns.Do(func() { err = s.up(p.a.ip, cards.a.name) })
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	p.b.ns.AddAddr(t, p.b.name, p.b.ip+"/24")
	p.a.before, p.b.before = p.a.state(t), p.b.state(t)
	return &pair{a: cards.a, b: cards.b}
}

// up makes one end in the calling thread's namespace.
func (s stack) up(ip string, names ...string) error {
	var members []netlink.Link
	for _, name := range names {
		m, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetDown(m)
		}
		if err == nil && !s.card { // a veth passes frames on with unfinished checksums
			err = ethtool.SetFeatures(m.Attrs().Index,
				map[string]bool{ethtool.FeatureTxCsum: false})
		}
		if err != nil {
			return err
		}
		members = append(members, m)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumTxQueues, attrs.NumRxQueues = top, s.queues, s.queues
	if err := s.add(attrs, members); err != nil {
		return err
	}
	l, err := netlink.LinkByName(top)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(ip + "/24")
	if err == nil {
		err = netlink.AddrAdd(l, addr)
	}
	for _, up := range append(members, l) {
		if err == nil {
			err = netlink.LinkSetUp(up)
		}
	}
	return err
}

// join makes members of an interface.
func join(members []netlink.Link) error {
	l, err := netlink.LinkByName(top)
	for _, m := range members {
		if err == nil {
			err = netlink.LinkSetMaster(m, l)
		}
	}
	return err
}

// addBond returns a function that adds a bond of a mode. The LACP rate stays slow, the default: it
// tolerates a guest that waits for a processor.
func addBond(mode netlink.BondMode) func(netlink.LinkAttrs, []netlink.Link) error {
	return func(attrs netlink.LinkAttrs, members []netlink.Link) error {
		bond := netlink.NewLinkBond(attrs)
		bond.Mode, bond.Miimon = mode, 50
		if mode == netlink.BOND_MODE_802_3AD {
			bond.XmitHashPolicy = netlink.BOND_XMIT_HASH_POLICY_LAYER3_4
		}
		if err := netlink.LinkAdd(bond); err != nil {
			return err
		}
		return join(members)
	}
}

func addTeam(attrs netlink.LinkAttrs, members []netlink.Link) error {
	err := netlink.LinkAdd(&netlink.GenericLink{LinkAttrs: attrs, LinkType: "team"})
	if err != nil {
		return err
	}
	l, err := netlink.LinkByName(attrs.Name)
	if err == nil {
		err = setTeamMode(l.Attrs().Index, "roundrobin")
	}
	if err != nil {
		return err
	}
	return join(members)
}

// setTeamMode sets a team's mode (TEAM_CMD_OPTIONS_SET). A team without a mode drops all frames.
func setTeamMode(index int, mode string) error {
	f, err := netlink.GenlFamilyGet("team")
	if err != nil {
		return err
	}
	req := nl.NewNetlinkRequest(int(f.ID), unix.NLM_F_ACK)
	req.AddData(&nl.Genlmsg{Command: 1, Version: uint8(f.Version)})
	req.AddData(nl.NewRtAttr(1, nl.Uint32Attr(uint32(index)))) // TEAM_ATTR_TEAM_IFINDEX
	list := nl.NewRtAttr(unix.NLA_F_NESTED|2, nil)             // TEAM_ATTR_LIST_OPTION
	item := list.AddRtAttr(unix.NLA_F_NESTED|1, nil)           // TEAM_ATTR_ITEM_OPTION
	item.AddRtAttr(1, nl.ZeroTerminated("mode"))               // TEAM_ATTR_OPTION_NAME
	item.AddRtAttr(3, []byte{5})                               // TEAM_ATTR_OPTION_TYPE: NLA_STRING
	item.AddRtAttr(4, nl.ZeroTerminated(mode))                 // TEAM_ATTR_OPTION_DATA
	req.AddData(list)
	// ESRCH: the mode is set, but no program listens to the notification.
	if _, err = req.Execute(unix.NETLINK_GENERIC, 0); errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func addVLAN(attrs netlink.LinkAttrs, members []netlink.Link) error {
	attrs.ParentIndex = members[0].Attrs().Index
	return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: 7,
		VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
}

func addVRF(attrs netlink.LinkAttrs, members []netlink.Link) error {
	if err := netlink.LinkAdd(&netlink.Vrf{LinkAttrs: attrs, Table: 10}); err != nil {
		return err
	}
	return join(members)
}

func addWireguard(attrs netlink.LinkAttrs, _ []netlink.Link) error {
	return netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
}

// testStackAndHost is testStack with a check of the mode that netmap info prints, and a forwarder
// between the interface and its host.
func testStackAndHost(t *testing.T, p *pair) {
	testStack(t, p)
	p.wantRefusal(t)
	p.wantTold(t)
	forwarder := p.lab.start(t, p.a.ns, "netmap", "bridge", p.lab.ways()[0].tool, "-w", "0", "-i",
		"netmap:"+top).wait("Ready")
	p.talk(t)
	p.a.ns.Transfer(t, p.b.ns, p.b.ip, 1<<18, patience)
	p.b.ns.Transfer(t, p.a.ns, p.a.ip, 1<<18, patience)
	forwarder.signal(os.Interrupt)
	p.vacate(t)
	p.talk(t)
}

// testStack passes frames both ways, and checks that the host has the interface back.
func testStack(t *testing.T, p *pair) {
	p.talk(t)
	before := p.settings(t)
	ways := p.lab.ways()
	for i, w := range ways {
		a, b := p.a.open(t, w, ""), p.b.open(t, ways[1-i], "")
		if w.name == "inside" {
			p.mode = p.lab.mode(top)
		}
		p.ready(t)
		p.exchange(t, a, b, 200)
		p.exchange(t, b, a, 200)
		a.Close()
		b.Close()
	}
	p.vacate(t)
	p.talk(t)
	eventually(t, "the host has the interface back", func() bool {
		return len(difference(before, p.settings(t))) == 0
	})
}

// testOnCard passes frames between the interface and a card. It also sends TCP to the host.
// The driver or the kernel would join its segments (LRO, GRO).
func testOnCard(t *testing.T, p *pair) {
	p.talk(t)
	a, b := p.a.open(t, p.lab.ways()[0], ""), p.b.open(t, p.lab.ways()[1], "")
	p.mode = p.lab.mode(top)
	p.ready(t)
	p.exchange(t, b, a, 200)
	p.strips = false
	p.exchange(t, a, b, 200)
	a.Close()
	b.Close()
	p.vacate(t)
	forwarder := p.lab.start(t, p.a.ns, "netmap", "bridge", p.lab.ways()[0].tool, "-w", "0", "-i",
		"netmap:"+top).wait("Ready")
	p.talk(t)
	p.b.ns.Transfer(t, p.a.ns, p.a.ip, 1<<20, patience)
	forwarder.signal(os.Interrupt)
	if text := forwarder.text.String(); forwarder.err != nil || strings.Contains(text, "too long") {
		t.Errorf("%s: %v\n%s", forwarder.what, forwarder.err, text)
	}
	p.vacate(t)
	p.killed(t)
	p.talk(t)
}

// killed kills a daemon that has the left interface open, and puts the settings back.
func (p *pair) killed(t *testing.T) {
	t.Helper()
	d := serve(t, p.lab, "killed above")
	p.a.open(t, way{"killed", func(port string, o ...netmap.Option) (*netmap.Port, error) {
		return netmap.OpenDevice(d.path, port, o...)
	}, ""}, "")
	d.signal(unix.SIGKILL)
	p.lab.start(t, nil, "netmap", "doctor", "--restore", "--state-dir", d.state).end()
	unix.Unmount(d.path, unix.MNT_DETACH)
}

// wantTold checks that netmap info prints the mode.
func (p *pair) wantTold(t *testing.T) {
	t.Helper()
	told := p.lab.start(t, p.b.ns, "netmap", "info", top).end()
	if !strings.Contains(told, "mode        "+p.mode+":") {
		t.Errorf("the mode is %s, and netmap info prints\n%s", p.mode, told)
	}
}

// wantRefusal checks that a mode in which the interface would not receive is refused.
func (p *pair) wantRefusal(t *testing.T) {
	t.Helper()
	asked := p.lab.start(t, p.b.ns, "netmap", "gen", "--device=embedded", "-i", "netmap:"+top, "-f",
		"rx", "-w", "0", "--xdp-mode=native")
	select {
	case <-asked.ended:
	case <-time.After(patience):
		t.Error("an impossible mode is accepted")
	}
	if text := asked.text.String(); asked.err == nil ||
		!strings.Contains(text, "--xdp-mode generic") {
		t.Errorf("native mode: %v\n%s", asked.err, text)
	}
}

// testQuiet opens, sends and waits. Frames that arrive on a member do not arrive here, and nothing
// fails.
func testQuiet(t *testing.T, p *pair) {
	before := p.settings(t)
	other := &side{ns: p.b.ns, name: "m0", id: "a member, right"}
	other.before = other.state(t)
	for _, w := range p.lab.ways() {
		a, member := p.a.open(t, w, ""), other.open(t, w, "/T")
		for n := range 50 {
			member.Tx()[0].Send(makeFrame(nextSeries(), n))
			if err := member.TxSync(); err != nil {
				t.Fatalf("send to a member: %v", err)
			}
			a.Tx()[n%len(a.Tx())].Send(makeFrame(nextSeries(), n))
			if err := a.TxSync(); err != nil {
				t.Fatalf("send: %v", err)
			}
		}
		if events, err := a.Poll(t.Context(), netmap.In, 50*time.Millisecond); err != nil ||
			events&netmap.Err != 0 {
			t.Errorf("poll: %v, %v", events, err)
		}
		for _, ring := range a.Rx() {
			for range ring.Frames() {
				t.Error("a frame has arrived")
			}
		}
		if w.name == "inside" {
			p.mode = p.lab.mode(top)
		}
		a.Close()
		member.Close()
	}
	eventually(t, "the host has the interface back", func() bool {
		return len(difference(before, p.settings(t))) == 0
	})
}
