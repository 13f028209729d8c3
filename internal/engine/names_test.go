package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// far is the other end of the cable to a host.
func (o *office) far(host int) *program {
	o.t.Helper()
	return o.openIn(o.hosts[host], "eth0")
}

func (o *office) openIn(ns *testutil.NS, name string) *program {
	o.t.Helper()
	var b *engine.Binding
	var err error
	ns.Do(func() { b, err = o.e.Register(name, request(0)) })
	testutil.Require(o.t, "AF_XDP", err)
	o.t.Cleanup(func() { b.Close() })
	return see(b)
}

// change does something to an interface of the office.
func (o *office) change(name string, f func(netlink.Link) error) {
	o.t.Helper()
	o.ns.Do(func() {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = f(l)
		}
		if err != nil {
			o.t.Fatal(err)
		}
	})
}

func (o *office) rename(from, to string) {
	o.t.Helper()
	o.change(from, func(l netlink.Link) error { return netlink.LinkSetName(l, to) })
}

func (o *office) delete(name string) {
	o.t.Helper()
	o.change(name, netlink.LinkDel)
}

// cable makes a pair of interfaces with these indexes, 0 for any.
func (o *office) cable(name string, index int, far string) {
	o.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = name, index
	v := netlink.NewVeth(attrs)
	v.PeerName = far
	o.ns.Do(func() { testutil.Require(o.t, "veth interfaces", netlink.LinkAdd(v)) })
	o.change(name, netlink.LinkSetUp)
	o.change(far, netlink.LinkSetUp)
}

func (o *office) index(name string) (index int) {
	o.change(name, func(l netlink.Link) error {
		index = l.Attrs().Index
		return nil
	})
	return index
}

// wantPasses sends a frame from one end to the other.
func wantPasses(t *testing.T, from, to *program, text string) {
	t.Helper()
	from.tx[0].put(t, frame(text))
	from.TxSync()
	receive(t, to, func(f string) bool { return f == frame(text) })
}

// names returns the names of all ports.
func (o *office) names() (all []string) {
	for _, s := range o.e.Status().Ports {
		all = append(all, s.Name)
	}
	return all
}

// An interface that is renamed while it is open is found by the names that it has, and not by those
// that it had.
func TestRenamedInterface(t *testing.T) {
	o := newOffice(t, 1, 1)
	long := strings.Repeat("a-long-name/", 10) + "1234567" // 127 characters
	far, first := o.far(0), o.openIn(o.ns, "v0")
	o.rename("v0", "vold")
	o.change("vold", func(l netlink.Link) error { return netlink.LinkAddAltName(l, long) })
	o.change("vold", func(l netlink.Link) error { return netlink.LinkAddAltName(l, "wan-0") })
	if got := o.names(); !slices.Equal(got, []string{"eth0", "vold"}) || first.Port() != "vold" {
		t.Errorf("ports %q, opened %s", got, first.Port())
	}
	o.cable("v0", 0, "v0far")
	successor, itsFar := o.openIn(o.ns, "v0"), o.openIn(o.ns, "v0far")
	wantPasses(t, first, far, "the old wire")
	wantPasses(t, successor, itsFar, "the new wire")
	for _, name := range []string{"vold", "wan-0", long} {
		again := o.openIn(o.ns, name)
		if got := fmt.Sprint(o.names()); got != "[eth0 v0 v0far vold]" || again.Port() != "vold" {
			t.Errorf("%s is another port: %s", name, got)
		}
		if got := string(again.nifp.Name[:5]); got != "vold\x00" {
			t.Errorf("%s is called %q", name, got)
		}
		wantPasses(t, again, far, "through "+name)
		o.ns.Do(func() {
			if b, err := o.e.Register(name, request(0, flags(abi.NRExclusive))); err == nil {
				b.Close()
				t.Errorf("%s is not taken for what is open already", name)
			}
			m, err := o.e.Register(name, request(0, flags(abi.NRMonitorRx)))
			if err != nil || !strings.HasPrefix(m.Port(), "vold/") {
				t.Fatalf("monitor %s: %v, %v", name, m, err)
			}
			m.Close()
			_, err = o.e.Attach(engine.Here, "vale0:"+name, request(0))
			if len(name) < 16 {
				wantErrno(t, "attach "+name, err, syscall.EBUSY)
			}
			if h, err := o.e.Header(engine.Here, name); h != 0 || err != nil {
				t.Errorf("header of %s: %d, %v", name, h, err)
			}
		})
		again.Close()
	}
	o.ns.Do(func() {
		_, err := o.e.Register(long[1:], request(0))
		wantErrno(t, "a name of 126", err, syscall.ENXIO)
		_, err = o.e.Register(long+"x", request(0))
		wantErrno(t, "a name of 128", err, syscall.ENAMETOOLONG)
	})
}

// The alias of the host rings' TAP contains the present name of the interface, and the host stays
// connected to the TAP.
func TestRenamedWithHostRings(t *testing.T) {
	o := newOffice(t, 1, 1)
	o.openIn(o.ns, "v0")
	alias := func() (text string) {
		o.change("netmap-host0", func(l netlink.Link) error {
			text = l.Attrs().Alias
			return nil
		})
		return text
	}
	if got := alias(); !strings.Contains(got, "rings of v0,") {
		t.Fatalf("alias %q", got)
	}
	o.rename("v0", "wan")
	for end := time.Now().Add(5 * time.Second); !strings.Contains(alias(),
		"rings of wan,"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("alias %q", alias())
		}
	}
	var host *engine.Binding
	var err error
	o.ns.Do(func() { host, err = o.e.Register("wan", request(0, mode(abi.RegSW))) })
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	p := see(host)
	o.ns.Do(func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err == nil {
			defer unix.Close(fd)
			to := &unix.SockaddrLinklayer{Ifindex: o.index("wan")}
			err = unix.Sendto(fd, []byte(frame("from the host")), 0, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	receive(t, p, func(f string) bool { return strings.Contains(f, "from the host") })
}

// Two interfaces change names while both are open.
func TestNamesExchanged(t *testing.T) {
	o := newOffice(t, 2, 1)
	far := []*program{o.far(0), o.far(1)}
	for i := range 2 {
		defer o.openIn(o.ns, fmt.Sprint("v", i)).Close()
	}
	o.rename("v0", "x")
	o.rename("v1", "v0")
	o.rename("x", "v1")
	for i := range 2 {
		wantPasses(t, o.openIn(o.ns, fmt.Sprint("v", i)), far[1-i], fmt.Sprint("through ", i))
	}
}

// ending is a way in which an interface can disappear.
var ending = map[string]func(o *office, elsewhere *testutil.NS){
	"deleted": func(o *office, _ *testutil.NS) { o.delete("va") },
	"moved": func(o *office, elsewhere *testutil.NS) {
		o.change("va", func(l netlink.Link) error { return netlink.LinkSetNsFd(l, elsewhere.FD()) })
		o.rename("vafar", "orphan%d")
	},
}

// A new interface with the name and index of an old one is another interface. Programs that have
// the old one open keep their port.
func TestSuccessorOfAnOpenInterface(t *testing.T) {
	for how, end := range ending {
		t.Run(how, func(t *testing.T) {
			o := newOffice(t, 0, 1)
			elsewhere := testutil.NewNS(t)
			o.cable("va", 77, "vafar")
			old := o.openIn(o.ns, "va")
			end(o, elsewhere)
			o.cable("va", 77, "vafar")
			successor, far := o.openIn(o.ns, "va"), o.openIn(o.ns, "vafar")
			wantPasses(t, successor, far, "on its own wire")
			wantPasses(t, far, successor, "and back")
			wantSoonGone(t, old)
			if how == "moved" {
				elsewhere.Do(func() {
					l, err := netlink.LinkByName("va")
					if err == nil {
						err = netlink.LinkSetUp(l)
					}
					if err != nil {
						t.Fatal(err)
					}
				})
				o.openIn(elsewhere, "va").Close()
			}
			old.Close()
			wantPasses(t, successor, far, "after the old one is closed")
		})
	}
}

// wantSoonGone waits until a port says that its interface is gone.
func wantSoonGone(t *testing.T, p *program) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		err := p.RxSync()
		if err != nil {
			wantErrno(t, "use what is gone", err, syscall.EIO)
			return
		}
		if time.Now().After(end) {
			t.Fatal("the port of an interface that is gone goes on")
		}
	}
}

// An attached interface that disappears leaves its switch, with its host stack and its pollers, and
// the name is free.
func TestAttachedInterfaceGoes(t *testing.T) {
	for how, end := range ending {
		t.Run(how, func(t *testing.T) {
			o := newOffice(t, 0, 1)
			o.cable("va", 77, "vafar")
			p := open(t, o.e, "vale0:p", request(64))
			for round := range 3 {
				var err error
				o.ns.Do(func() { _, err = o.e.Attach(engine.Here, "vale0:va", request(0, mode(abi.RegNICSW))) })
				testutil.Require(t, "AF_XDP", err)
				if err := o.e.StartPolling(engine.Here, "vale0:va", abi.PollingSingleCPU, 0, 1); err != nil {
					t.Fatal(err)
				}
				end(o, testutil.NewNS(t))
				if round > 0 { // the first time, the name is not looked up, and is free all the same
					o.cable("va", 77, "vafar")
					if round == 1 {
						o.attachAndDetach(p)
					}
					end(o, testutil.NewNS(t))
				}
				o.wantFewPorts()
				_, err = o.e.Detach(engine.Here, "vale0:va")
				wantErrno(t, "detach what is gone", err, syscall.ENXIO)
				o.cable("va", 77, "vafar")
			}
		})
	}
}

// attachAndDetach attaches va, which is a new interface, sends a frame to it and detaches it.
func (o *office) attachAndDetach(p *program) {
	o.t.Helper()
	o.mustAttach("vale0:va")
	wantPasses(o.t, p, o.openIn(o.ns, "vafar"), "to its successor")
	if _, err := o.e.Detach(engine.Here, "vale0:va"); err != nil {
		o.t.Fatal(err)
	}
}

// wantFewPorts waits until the switches have at most one port.
func (o *office) wantFewPorts() {
	o.t.Helper()
	end := time.Now().Add(5 * time.Second)
	for ; len(o.e.ValePorts()) > 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			o.t.Fatalf("left behind: %v", o.e.ValePorts())
		}
	}
}

// An attached port is found on its switch by all names of its interface. A later interface is found
// by its own names.
func TestRenamedWhileAttached(t *testing.T) {
	o := newOffice(t, 0, 1)
	o.cable("va", 77, "vafar")
	o.change("va", func(l netlink.Link) error { return netlink.LinkAddAltName(l, "wan-0") })
	o.mustNewIf("p0")
	detach := func(name string) (err error) {
		o.ns.Do(func() { _, err = o.e.Detach(engine.Here, name) })
		return err
	}
	for _, c := range []struct{ attached, renamed, back, detached string }{
		{"va", "vb", "va", "vb"}, {"va", "vb", "va", "va"}, {"va", "vb", "va", "wan-0"},
		{"wan-0", "vb", "va", "vb"},
		{"p0", "q0", "p0", "q0"}, {"p0", "q0", "p0", "p0"},
	} {
		o.mustAttach("vale0:" + c.attached)
		o.mustAttach("vale1:vafar")
		o.rename(c.back, c.renamed)
		wantErrno(t, "poll another switch", o.startPolling("vale1:"+c.renamed), syscall.ENXIO)
		wantErrno(t, "detach from another switch", detach("vale1:"+c.detached), syscall.ENXIO)
		if err := detach("vale0:" + c.detached); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		wantErrno(t, "detach again", detach("vale0:"+c.detached), syscall.ENXIO)
		if err := detach("vale1:vafar"); err != nil {
			t.Error(err)
		}
		o.rename(c.renamed, c.back)
	}
}

func (o *office) startPolling(name string) (err error) {
	o.ns.Do(func() { err = o.e.StartPolling(engine.Here, name, abi.PollingSingleCPU, 0, 1) })
	return err
}

// The interface of a persistent port may be renamed as any other, and when it goes, the port goes.
func TestRenamedPersistentPort(t *testing.T) {
	o := newOffice(t, 0, 1)
	o.mustNewIf("p0")
	o.rename("p0", "q0")
	o.mustNewIf("p0")
	wantErrno(t, "make it again",
		func() error { _, err := o.newIf("q0", abi.ValeNewIf{}); return err }(), syscall.EEXIST)
	a := o.program("q0")
	if got := fmt.Sprint(o.names()); got != "[p0 q0]" || a.Port() != "q0" {
		t.Errorf("ports %v, opened %s", got, a.Port())
	}
	wantErrno(t, "delete an open port", o.delIf("q0"), syscall.EBUSY)
	a.Close()
	o.mustAttach("vale0:q0")
	b := open(t, o.e, "vale0:b", request(64))
	wantPasses(t, o.program("q0"), b, "by its new name")
	a = o.program("q0")
	o.delete("q0")
	o.mustNewIf("q0")
	o.mustAttach("vale0:q0")
	wantPasses(t, o.program("q0"), b, "from its successor")
	a.tx[0].put(t, frame("from the dead"))
	a.TxSync()
	b.RxSync()
	wantFrames(t, b.rx[0])
}

// A persistent port whose interface is moved into another network namespace is the same port there,
// and stays where it is on its switch.
func TestMovedPersistentPort(t *testing.T) {
	o := newOffice(t, 0, 1)
	elsewhere := testutil.NewNS(t)
	o.mustNewIf("p0")
	o.mustAttach("vale0:p0")
	b := open(t, o.e, "vale0:b", request(64))
	old := o.program("p0")
	o.change("p0", func(l netlink.Link) error { return netlink.LinkSetNsFd(l, elsewhere.FD()) })
	wantPasses(t, o.openIn(elsewhere, "p0"), b, "from where it is")
	wantPasses(t, old, b, "from who had it open")
	wantErrno(t, "delete it where it was", o.delIf("p0"), syscall.ENXIO)
	o.mustNewIf("p0")
	if got := fmt.Sprint(o.e.ValePorts()); got != "[{vale0:p0 0 0} {vale0:b 0 1}]" {
		t.Errorf("ports %v", got)
	}
	old.Close()
}
