//go:build linux

package nics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

const qemu = "qemu-system-x86_64"

// machine is a computer with network cards.
type machine struct {
	name       string
	board      string // pc, whose slots are PCI, or q35: PCI Express
	processors int
	cards      []card
	since      [2]int // the first kernel to test it with
	stacked    bool   // interfaces that stand on others are tested, too
	until      [2]int // the first kernel not to test it with, 0 for none
}

// card is a kind of network card. A machine has two of each, joined by a cable.
type card struct {
	Name    string         // of the pair
	Device  string         // in QEMU
	Options map[string]any // further options for QEMU
	Queues  int
	Index   int  // from 1
	Express bool // in a slot of PCI Express
}

// zeroCopy makes virtio-net use addresses that the driver maps, which is a condition of its
// zero-copy.
var zeroCopy = map[string]any{"iommu_platform": true, "disable-legacy": "on"}

// machines lists all machines. The first has the cards that wait for the link most of the time, so
// that the second can use the host's processors meanwhile. The third has the drivers that got
// zero-copy after Linux 6.12.
var machines = []machine{
	{name: "link", board: "pc", processors: 1, until: [2]int{6, 13}, cards: []card{
		{Name: "e1000", Device: "e1000", Queues: 1},
		{Name: "e1000e", Device: "e1000e", Queues: 1},
	}},
	{name: "copy", board: "pc", processors: 2, stacked: true, until: [2]int{6, 13}, cards: []card{
		{Name: "rtl8139", Device: "rtl8139", Queues: 1},
		{Name: "virtio", Device: "virtio-net-pci", Queues: 1},
		{Name: "virtio4", Device: "virtio-net-pci", Queues: 4},
		{Name: "vmxnet3", Device: "vmxnet3", Queues: 2},
	}},
	{name: "zerocopy", board: "q35", processors: 2, stacked: true, since: [2]int{6, 13},
		cards: []card{
			{Name: "igb", Device: "igb", Queues: 2},
			{Name: "virtio", Device: "virtio-net-pci", Options: zeroCopy, Queues: 1},
			{Name: "virtio4", Device: "virtio-net-pci", Options: zeroCopy, Queues: 4},
		}},
}

func (m machine) fits(k kernel) bool {
	return k.atLeast(m.since[0], m.since[1]) &&
		(m.until[0] == 0 || !k.atLeast(m.until[0], m.until[1]))
}

// has returns whether the machine has a card of that name; every machine has "".
func (m machine) has(name string) bool {
	return name == "" || m.stacked && name == stackedCard ||
		slices.ContainsFunc(m.cards, func(c card) bool { return c.Name == name })
}

// haveQEMU returns an error if there is no QEMU.
func haveQEMU() error {
	_, err := exec.LookPath(qemu)
	return err
}

// knows returns whether this QEMU has a device.
func knows(device string) bool {
	out, err := exec.Command(qemu, "-device", "help").CombinedOutput()
	return err == nil && bytes.Contains(out, []byte(`"`+device+`"`))
}

// guestPatience is the time that a guest may take between two messages. A failing scenario may time
// out several times.
const guestPatience = 3 * time.Minute

// device returns the arguments that plug in a card. Side 0 is a, side 1 is b.
func (c card) device(side int) map[string]any {
	d := map[string]any{"driver": c.Device, "id": c.id(side), "netdev": "net-" + c.id(side),
		"mac": c.mac(side).String(), "romfile": ""}
	if c.Express {
		d["bus"] = "port-" + c.id(side)
	}
	maps.Copy(d, c.Options)
	if c.tapped() {
		d["mq"], d["vectors"] = true, 2*c.Queues+2
	}
	return d
}

func (c card) id(side int) string { return c.Name + []string{"-a", "-b"}[side] }

func (c card) mac(side int) net.HardwareAddr {
	return net.HardwareAddr{0x52, 0x54, 0, 0, byte(c.Index), byte(side + 1)}
}

// tapped returns whether the cable is made of TAPs. virtio-net has as many queues as its cable, and
// only TAPs have several in QEMU.
func (c card) tapped() bool { return c.Device == "virtio-net-pci" && c.Queues > 1 }

// args returns QEMU's arguments for both ends of the cable and both cards.
func (c card) args() (args []string) {
	for side := range 2 {
		cable := fmt.Sprintf("hubport,id=net-%s,hubid=%d", c.id(side), c.Index)
		if c.tapped() {
			cable = fmt.Sprintf("tap,id=net-%s,ifname=%[1]s,queues=%[2]d,vnet_hdr=off,"+
				"script=no,downscript=no", c.id(side), c.Queues)
		}
		device, _ := json.Marshal(c.device(side))
		args = append(args, "-netdev", cable)
		if c.Express { // a card that can be pulled needs a port of its own
			args = append(args, "-device",
				fmt.Sprintf("pcie-root-port,id=port-%s,chassis=%d,slot=%[2]d", c.id(side),
					2*c.Index+side))
		}
		args = append(args, "-device", string(device))
	}
	return args
}

// lay makes the cable in a network namespace, if it consists of TAPs: two on a bridge.
func (c card) lay(t *testing.T, ns *testutil.NS) {
	if !c.tapped() {
		return
	}
	ns.Do(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprint("cable", c.Index)
		snooping := false
		br := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
		testutil.Require(t, "bridges", netlink.LinkAdd(br))
		for side := range 2 {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = c.id(side)
			tap := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP,
				Queues: c.Queues, Flags: netlink.TUNTAP_MULTI_QUEUE | netlink.TUNTAP_NO_PI}
			testutil.Require(t, "TAPs", netlink.LinkAdd(tap))
			for _, f := range tap.Fds {
				f.Close()
			}
			if err := netlink.LinkSetMaster(tap, br); err != nil {
				t.Fatal(err)
			}
			if err := netlink.LinkSetUp(tap); err != nil {
				t.Fatal(err)
			}
		}
		if err := netlink.LinkSetUp(br); err != nil {
			t.Fatal(err)
		}
	})
}

// run runs a guest to its end and makes a subtest of each of its results.
func run(t *testing.T, k kernel, m machine) []result {
	var cards []card
	for _, c := range m.cards {
		if !knows(c.Device) {
			t.Logf("this QEMU has no %s: left out", c.Device)
			continue
		}
		c.Index, c.Express = len(cards)+1, m.board == "q35"
		cards = append(cards, c)
	}
	m.cards = cards
	g := start(t, k, m)
	begin := time.Now()
	results := g.serve()
	t.Logf("%s, %s: %v", k.version, m.name, time.Since(begin).Round(time.Second))
	wanted := m.wanted()
	for _, r := range results {
		t.Run(r.Card+"/"+r.Scenario, func(t *testing.T) {
			if !r.OK {
				t.Error("failed; see the guest's console")
			}
			t.Logf("%.1f s in the guest", r.Seconds)
		})
	}
	if len(results) != wanted {
		t.Errorf("%d results of %d", len(results), wanted)
	}
	if t.Failed() && !*verbose {
		t.Logf("the guest's console:\n%s", g.console.String())
	}
	return results
}

// wanted returns the number of results that a guest has to report.
func (m machine) wanted() (n int) {
	for _, c := range m.cards {
		if *oneCard == "" || *oneCard == c.Name {
			n += len(chosen())
		}
	}
	for _, s := range stacked {
		if m.stacked && (*oneCard == "" || *oneCard == stackedCard) &&
			(*oneTask == "" || *oneTask == s.name) {
			n++
		}
	}
	return n
}

// guest is a running machine.
type guest struct {
	t       *testing.T
	cmd     *exec.Cmd
	ended   chan struct{}
	console console
	talk    net.Conn
	qmp     *qmp
}

// console collects the text of a guest's console without carriage returns.
type console struct{ testutil.Buffer }

func (c *console) Write(p []byte) (int, error) {
	if *verbose {
		os.Stderr.Write(p)
	}
	c.Buffer.Write(bytes.ReplaceAll(p, []byte("\r"), nil))
	return len(p), nil
}

// start boots a machine.
func start(t *testing.T, k kernel, m machine) *guest {
	t.Helper()
	dir, ns := t.TempDir(), testutil.NewNS(t)
	ram, err := image(k, m)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "initrd"), ram, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-machine", m.board, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp",
		strconv.Itoa(m.processors), "-m", "1536", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", k.image, "-initrd", filepath.Join(dir, "initrd"), "-append",
		"console=ttyS0 quiet panic=-1 oops=panic net.ifnames=0",
		"-serial", "stdio", "-serial", "unix:" + filepath.Join(dir, "talk"), "-qmp",
		"unix:" + filepath.Join(dir, "qmp")}
	for _, c := range m.cards {
		c.lay(t, ns)
		args = append(args, c.args()...)
	}
	g := &guest{t: t, cmd: exec.Command(qemu, args...), ended: make(chan struct{})}
	g.cmd.Stdout, g.cmd.Stderr = &g.console, &g.console
	talk, control := listen(t, filepath.Join(dir, "talk")), listen(t, filepath.Join(dir, "qmp"))
	// If the test is killed, QEMU is killed, too.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ns.Do(func() { err = g.cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		g.cmd.Wait()
		close(g.ended)
	}()
	t.Cleanup(func() {
		g.cmd.Process.Kill()
		<-g.ended
	})
	g.talk = g.accept(talk)
	g.qmp = newQMP(t, g.accept(control))
	return g
}

func listen(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// accept waits for QEMU's connection, which QEMU makes when it starts.
func (g *guest) accept(l *net.UnixListener) net.Conn {
	g.t.Helper()
	l.SetDeadline(time.Now().Add(time.Minute))
	c, err := l.Accept()
	if err != nil {
		g.t.Fatalf("QEMU does not start: %v\n%s", err, g.console.String())
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}

// serve executes the guest's commands, and collects its results.
func (g *guest) serve() (results []result) {
	for lines := json.NewDecoder(g.talk); ; {
		var m message
		g.talk.SetDeadline(time.Now().Add(guestPatience))
		if err := lines.Decode(&m); err != nil {
			g.t.Errorf("the guest is gone: %v", err)
			return results
		}
		switch {
		case m.Result != nil:
			results = append(results, *m.Result)
		case m.Ask != nil:
			failed := ""
			if err := g.qmp.do(*m.Ask); err != nil {
				failed = err.Error()
			}
			fmt.Fprintf(g.talk, "%q\n", failed)
		case m.Ended != nil:
			if *m.Ended != 0 {
				g.t.Errorf("the guest's tests end with %d", *m.Ended)
			}
			select { // further messages may be on their way
			case <-g.ended:
			case <-time.After(20 * time.Second):
				g.t.Error("the guest does not switch off")
			}
			return results
		}
	}
}

// qmp is a connection to QEMU's monitor protocol.
type qmp struct {
	conn net.Conn
	in   *json.Decoder
}

func newQMP(t *testing.T, conn net.Conn) *qmp {
	t.Helper()
	q := &qmp{conn, json.NewDecoder(conn)}
	if err := q.do(command{Execute: "qmp_capabilities"}); err != nil {
		t.Fatal(err)
	}
	return q
}

// do sends a command and waits for its answer. It skips the greeting and events.
func (q *qmp) do(c command) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	q.conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := q.conn.Write(append(b, '\n')); err != nil {
		return err
	}
	for {
		var a struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := q.in.Decode(&a); err != nil {
			return err
		}
		if a.Error != nil {
			return fmt.Errorf("QEMU: %s: %s", c.Execute, a.Error.Desc)
		}
		if a.Return != nil {
			return nil
		}
	}
}
