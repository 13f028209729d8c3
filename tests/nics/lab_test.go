//go:build linux

package nics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// patience is the time after which a test gives up. Emulated processors are slow.
const patience = 30 * time.Second

// lab is the environment of scenarios: two network namespaces, each with one interface of every
// pair, a daemon, and a framework in this process.
//
//	       left                         right
//	 e1000 10.77.1.1  <-- cable -->  e1000 10.77.1.2
//	virtio 10.77.2.1  <-- cable --> virtio 10.77.2.2
//	                      …
type lab struct {
	dir     string // for nodes and records
	left    *testutil.NS
	right   *testutil.NS
	pairs   []*pair
	inside  *embed.Framework
	outside *daemon
}

// side is one end of a cable.
type side struct {
	ns   *testutil.NS
	name string
	ip   string
	id   string // QEMU's for the card

	before string // its state when nobody has it open
	last   string // the way in which it was opened last
}

// pair is two interfaces of one kind, joined by a cable.
type pair struct {
	lab    *lab
	card   card
	a, b   side
	next   *pair // with the next card
	note   func(format string, args ...any)
	mode   string // of AF_XDP, once it is known
	strips bool   // VLAN tags are taken out of frames before they arrive
}

// plan tells a guest what to run.
type plan struct {
	Cards    []card
	Stacked  bool   // with interfaces that stand on others
	Card     string // the name of the card to test, "" for all
	Scenario string // "" for all
}

// chosen returns the scenarios to run.
func chosen() (all []scenario) {
	for _, s := range scenarios {
		if *oneTask == "" || *oneTask == s.name {
			all = append(all, s)
		}
	}
	return all
}

// TestGuest runs every scenario on every pair of its machine.
func TestGuest(t *testing.T) {
	if wire == nil {
		t.Skip("TestNICs runs this, in a guest")
	}
	b, err := os.ReadFile("/plan.json")
	if err != nil {
		t.Fatal(err)
	}
	var todo plan
	if err := json.Unmarshal(b, &todo); err != nil {
		t.Fatal(err)
	}
	*oneCard, *oneTask = todo.Card, todo.Scenario
	l := newLab(t, todo.Cards)
	for _, p := range l.pairs {
		p.settle(t, &p.a, 0)
		p.settle(t, &p.b, 1)
	}
	l.run(t, todo.Stacked)
}

func newLab(t *testing.T, cards []card) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir(), left: testutil.NewNS(t), right: testutil.NewNS(t)}
	for _, c := range cards {
		l.pairs = append(l.pairs, &pair{lab: l, card: c,
			a: side{ns: l.left, name: c.Name, ip: fmt.Sprintf("10.77.%d.1", c.Index), id: c.id(0)},
			b: side{ns: l.right, name: c.Name, ip: fmt.Sprintf("10.77.%d.2", c.Index),
				id: c.id(1)}})
	}
	for i, p := range l.pairs {
		p.next = l.pairs[(i+1)%len(l.pairs)]
	}
	return l
}

// run runs all scenarios.
func (l *lab) run(t *testing.T, stacked bool) {
	var err error
	l.inside, err = embed.New(embed.Config{Buffers: 40960, StateDir: filepath.Join(l.dir, "inside"),
		Promisc: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.inside.Close()
	l.outside = serve(t, l, "outside")
	for _, p := range l.pairs {
		if *oneCard != "" && *oneCard != p.card.Name {
			continue
		}
		t.Run(p.card.Name, func(t *testing.T) {
			for _, s := range chosen() {
				p.try(t, s)
			}
		})
	}
	if stacked && (*oneCard == "" || *oneCard == stackedCard) {
		t.Run(stackedCard, l.runStacked)
	}
}

// try runs a scenario and reports the result.
func (p *pair) try(t *testing.T, s scenario) {
	r := result{Card: p.card.Name, Device: p.card.Device, Scenario: s.name, Kernel: release()}
	start := time.Now()
	r.OK = p.pass(t, s)
	r.Seconds = time.Since(start).Seconds()
	r.Driver, r.Queues, r.Mode = p.a.driver(), p.a.queues(), p.mode
	wire.send(message{Result: &r})
}

// pass runs a scenario and returns whether it passed.
func (p *pair) pass(t *testing.T, s scenario) bool {
	return t.Run(s.name, func(t *testing.T) {
		p.vacate(t)
		t.Cleanup(func() { p.wantEmpty(t) }) // runs after the cleanups of the scenario
		p.note = t.Logf
		s.run(t, p)
	})
}

func release() string {
	var u unix.Utsname
	unix.Uname(&u)
	return unix.ByteSliceToString(u.Release[:])
}

// wantEmpty checks that a scenario has left nothing in the memory of the framework.
func (p *pair) wantEmpty(t *testing.T) {
	t.Helper()
	eventually(t, "nothing is in use", func() bool { return p.lab.inside.Usage().Full() })
}

func (s *side) driver() (driver string) {
	s.ns.Do(func() { driver, _ = ethtool.AskDriver(s.name) })
	return driver
}

// queues returns the number of queues of the interface's port.
func (s *side) queues() (n int) {
	s.ns.Do(func() {
		if l, err := netlink.LinkByName(s.name); err == nil {
			n = max(l.Attrs().NumRxQueues, 1)
			if c, err := ethtool.AskChannels(l.Attrs().Index); err == nil {
				n = c.Rx + c.Combined
			}
		}
	})
	return n
}

// link returns the interface.
func (s *side) link(t *testing.T) (l netlink.Link) {
	t.Helper()
	var err error
	s.ns.Do(func() { l, err = netlink.LinkByName(s.name) })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// settle moves the interface of a card from the namespace in which the kernel makes it to the
// side's own.
func (p *pair) settle(t *testing.T, s *side, which int) {
	t.Helper()
	mac := p.card.mac(which)
	var link netlink.Link
	eventually(t, s.id+" appears", func() bool {
		all, err := netlink.LinkList()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(l netlink.Link) bool {
			return l.Attrs().HardwareAddr.String() == mac.String()
		})
		if i >= 0 {
			link = all[i]
		}
		return i >= 0
	})
	if err := netlink.LinkSetName(link, s.name); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetNsFd(link, s.ns.FD()); err != nil {
		t.Fatal(err)
	}
	s.configure(t)
}

// configure brings an interface up, with its address.
func (s *side) configure(t *testing.T) {
	t.Helper()
	s.ns.AddAddr(t, s.name, s.ip+"/24")
	s.setUp(t, true)
	s.before = s.state(t)
}

func (s *side) setUp(t *testing.T, up bool) {
	t.Helper()
	if up {
		s.set(t, netlink.LinkSetUp)
	} else {
		s.set(t, netlink.LinkSetDown)
	}
}

// set calls a function that changes the interface.
func (s *side) set(t *testing.T, change func(netlink.Link) error) {
	t.Helper()
	l := s.link(t)
	var err error
	if s.ns.Do(func() { err = change(l) }); err != nil {
		t.Fatal(err)
	}
}

// ready waits until both ends have a carrier: some drivers renegotiate when an XDP program is
// attached or detached.
func (p *pair) ready(t *testing.T) {
	t.Helper()
	for _, s := range []*side{&p.a, &p.b} {
		eventually(t, s.id+" has a carrier", func() bool {
			return s.link(t).Attrs().OperState == netlink.OperUp
		})
	}
}

// eventually waits until a condition holds, and fails the test when its patience ends.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// way is one of two ways to open a port: in this process, or through the device.
type way struct {
	name string
	open func(port string, o ...netmap.Option) (*netmap.Port, error)
	tool string // the flag that selects it in commands of netmap
}

func (l *lab) ways() []way {
	return []way{
		{"inside", l.inside.Open, "--device=embedded"},
		{"device", func(port string, o ...netmap.Option) (*netmap.Port, error) {
			return netmap.OpenDevice(l.outside.path, port, o...)
		}, "--device=" + l.outside.path},
	}
}

// open opens a port of the interface. suffix chooses rings, such as "-0" or "^". If the other
// framework had the interface, open waits for it: FUSE tells a daemon of a close later.
func (s *side) open(t *testing.T, w way, suffix string, o ...netmap.Option) *netmap.Port {
	t.Helper()
	if s.last != w.name {
		eventually(t, s.id+" is free", func() bool { return s.free(t) })
	}
	s.last = w.name
	var p *netmap.Port
	var err error
	if s.ns.Do(func() { p, err = w.open("netmap:"+s.name+suffix, o...) }); err != nil {
		t.Fatalf("%s, %s: %v", s.id, w.name, err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// vacate waits until neither end is in use, for commands, which do not wait.
func (p *pair) vacate(t *testing.T) {
	t.Helper()
	for _, s := range []*side{&p.a, &p.b} {
		eventually(t, s.id+" is free", func() bool { return s.free(t) })
		s.last = ""
	}
}

// free returns whether the interface is as it was before it was opened.
func (s *side) free(t *testing.T) bool { return s.state(t) == s.before }

// state returns everything that opening a port changes.
func (s *side) state(t *testing.T) string {
	t.Helper()
	a := s.link(t).Attrs()
	var f ethtool.Features
	var err error
	if s.ns.Do(func() { f, err = ethtool.AskFeatures(a.Index) }); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("promiscuous %d, XDP %v, %d queues, %v", a.Promisc,
		a.Xdp != nil && a.Xdp.Attached, s.queues(), f.Active)
}

// mode returns the mode of an interface that the framework in this process has open.
func (l *lab) mode(name string) string {
	for _, p := range l.inside.Stats() {
		if strings.TrimPrefix(p.Name, "netmap:") == name && p.Detail != "" {
			return p.Detail
		}
	}
	return "?"
}

// daemon is a running "netmap serve".
type daemon struct {
	*process
	path, state string
}

func serve(t *testing.T, l *lab, name string) *daemon {
	t.Helper()
	d := &daemon{path: filepath.Join(l.dir, name+".node"),
		state: filepath.Join(l.dir, name+".state")}
	d.process = l.start(t, nil, "netmap", "serve", "--promisc", "--path", d.path, "--buffers",
		"40960", "--state-dir", d.state).wait("serving")
	return d
}

// start starts a program in a network namespace; nil is the process's own.
func (l *lab) start(t *testing.T, ns *testutil.NS, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, what: program + " " + strings.Join(args, " "),
		cmd: exec.Command(filepath.Join("/bin", program), args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.text, &p.text
	run := func(f func()) { f() }
	if ns != nil {
		run = ns.Do
	}
	var err error
	if run(func() { err = p.cmd.Start() }); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.signal(unix.SIGTERM) })
	return p
}

// process is a running program.
type process struct {
	t     *testing.T
	what  string
	cmd   *exec.Cmd
	text  testutil.Buffer
	ended chan struct{}
	err   error // after ended
}

// wait waits until the program has written a text.
func (p *process) wait(text string) *process {
	p.t.Helper()
	end := time.Now().Add(patience)
	for ; !strings.Contains(p.text.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) || p.over() && !strings.Contains(p.text.String(), text) {
			p.t.Fatalf("%s does not print %q: %v\n%s", p.what, text, p.err, p.text.String())
		}
	}
	return p
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// end waits for the program's end, fails the test if the program failed, and returns its output.
func (p *process) end() string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end:\n%s", p.what, p.text.String())
	}
	if p.err != nil {
		p.t.Errorf("%s: %v\n%s", p.what, p.err, p.text.String())
	}
	return p.text.String()
}

// signal sends a signal and waits for the end.
func (p *process) signal(s os.Signal) {
	p.cmd.Process.Signal(s)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("%s does not end on %v:\n%s", p.what, s, p.text.String())
		p.cmd.Process.Kill()
	}
}
