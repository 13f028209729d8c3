package engine_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func (o *office) newIf(name string, req abi.ValeNewIf) (abi.ValeNewIf, error) {
	var err error
	o.ns.Do(func() { req, err = o.e.NewIf(engine.Here, name, 0, req) })
	return req, err
}

func (o *office) mustNewIf(name string) {
	o.t.Helper()
	_, err := o.newIf(name, abi.ValeNewIf{TxSlots: 64, RxSlots: 64})
	testutil.Require(o.t, "TAP interfaces", err)
}

func (o *office) delIf(name string) (err error) {
	o.ns.Do(func() { err = o.e.DelIf(engine.Here, name) })
	return err
}

func (o *office) program(name string) *program {
	o.t.Helper()
	b, err := o.open(name)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { b.Close() })
	return see(b)
}

func TestPersistentPortSizes(t *testing.T) {
	o := newOffice(t, 0, 1)
	for i, c := range []struct{ wish, want abi.ValeNewIf }{
		{abi.ValeNewIf{}, abi.ValeNewIf{TxSlots: 1024, RxSlots: 1024, TxRings: 1, RxRings: 1, MemID: 1}},
		{abi.ValeNewIf{TxSlots: 100, RxSlots: 1, TxRings: 3, RxRings: 16, MemID: 1},
			abi.ValeNewIf{TxSlots: 100, RxSlots: 1, TxRings: 3, RxRings: 16, MemID: 1}},
		{abi.ValeNewIf{TxSlots: 1 << 31, RxSlots: 5000, TxRings: 17, RxRings: 1<<16 - 1},
			abi.ValeNewIf{TxSlots: 4096, RxSlots: 4096, TxRings: 16, RxRings: 16, MemID: 1}},
	} {
		name := fmt.Sprint("p", i)
		got, err := o.newIf(name, c.wish)
		testutil.Require(t, "TAP interfaces", err)
		if got != c.want {
			t.Errorf("wanted %+v, got %+v, want %+v", c.wish, got, c.want)
		}
		if info, err := o.e.PortInfo(engine.Here, "", abi.Register{}); err != nil ||
			info.MemID != got.MemID {
			t.Error(err)
		}
		o.ns.Do(func() {
			info, err := o.e.PortInfo(engine.Here, name, abi.Register{})
			if err != nil || info.TxRings != got.TxRings || info.RxSlots != got.RxSlots {
				t.Errorf("described as %+v, %v", info, err)
			}
		})
	}
}

func TestPersistentPortErrors(t *testing.T) {
	o := newOffice(t, 1, 1)
	o.mustNewIf("p0")
	o.mustNewIf("p1x")
	for _, c := range []struct {
		what, name string
		memID      uint16
		want       syscall.Errno
	}{
		{"no name", "", 0, syscall.EINVAL},
		{"a vale prefix", "vale0:x", 0, syscall.EINVAL},
		{"a bare vale prefix", "valetta", 0, syscall.EINVAL},
		{"a name of 16", strings.Repeat("x", 16), 0, syscall.EINVAL},
		{"a pipe", "x{1", 0, syscall.EINVAL},
		{"a template", "tap%d", 0, syscall.EINVAL},
		{"a slash", "a/b", 0, syscall.EINVAL},
		{"a persistent port", "p0", 0, syscall.EEXIST},
		{"an interface", "v0", 0, syscall.EEXIST},
		{"loopback", "lo", 0, syscall.EEXIST},
		{"unknown memory", "p1", 9, syscall.EINVAL},
		{"a name of 15", strings.Repeat("x", 15), 0, 0},
	} {
		_, err := o.newIf(c.name, abi.ValeNewIf{MemID: c.memID})
		wantErrno(t, "new "+c.what, err, c.want)
	}
	wantErrno(t, "delete none", o.delIf("none"), syscall.ENXIO)
	wantErrno(t, "delete an interface", o.delIf("v0"), syscall.EINVAL)
	b := o.program("p0")
	wantErrno(t, "delete an open port", o.delIf("p0"), syscall.EBUSY)
	closing := o.program("p1x")
	time.AfterFunc(20*time.Millisecond, func() { closing.Close() })
	wantErrno(t, "delete a port that is being closed", o.delIf("p1x"), 0)
	_, err := o.attach("vale0:p0")
	wantErrno(t, "attach an open port", err, syscall.EBUSY)
	b.Close()
	wantErrno(t, "delete", o.delIf("p0"), 0)
	wantErrno(t, "delete again", o.delIf("p0"), syscall.ENXIO)
	if _, err := o.open("p0"); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("open what was deleted: %v, want ENXIO", err)
	}
}

func TestTheHostSeesPersistentPorts(t *testing.T) {
	o := newOffice(t, 0, 1)
	o.mustNewIf("p0")
	o.ns.Do(func() {
		l, err := netlink.LinkByName("p0")
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		if i, err := net.InterfaceByName("p0"); err != nil || i.Flags&net.FlagRunning != 0 {
			t.Errorf("%+v, %v; nothing is at the other end", i, err)
		}
	})
	// After the host has deleted the interface, its name is free again.
	_, err := o.newIf("p0", abi.ValeNewIf{})
	wantErrno(t, "make it again", err, syscall.EEXIST)
	o.ns.Do(func() {
		if l, err := netlink.LinkByName("p0"); err != nil || netlink.LinkDel(l) != nil {
			t.Fatal(err)
		}
	})
	o.mustNewIf("p0")
	if err := o.delIf("p0"); err != nil {
		t.Fatal(err)
	}
	o.ns.Do(func() {
		if _, err := net.InterfaceByName("p0"); err == nil {
			t.Error("the interface is still there")
		}
	})
}

// A persistent port on a switch has two names, and keeps both until it is detached.
func TestPersistentPortOnASwitch(t *testing.T) {
	o := newOffice(t, 0, 1)
	o.mustNewIf("p0")
	lone := o.program("p0")
	lone.tx[0].put(t, frame("to nobody"))
	lone.TxSync()
	lone.Close()
	for range 2 {
		if index := o.mustAttach("vale0:p0"); index != 0 {
			t.Errorf("index %d", index)
		}
		_, err := o.attach("vale0:p0")
		wantErrno(t, "attach again", err, syscall.EBUSY)
		wantErrno(t, "delete an attached port", o.delIf("p0"), syscall.EBUSY)
		a, b, c := o.program("vale0:p0"), o.program("vale0:b"), o.program("p0")
		if got := fmt.Sprint(o.e.ValePorts()); got != "[{vale0:p0 0 0} {vale0:b 0 1}]" {
			t.Errorf("ports %v", got)
		}
		a.tx[0].put(t, frame("from a"))
		a.TxSync()
		b.tx[0].put(t, frame("from b"))
		b.TxSync()
		b.RxSync()
		c.RxSync()
		wantFrames(t, b.rx[0], frame("from a"))
		wantFrames(t, c.rx[0], frame("from b"))
		a.Close()
		if index, err := o.e.Detach(engine.Here, "vale0:p0"); err != nil || index != 0 {
			t.Errorf("detach: %d, %v", index, err)
		}
		b.tx[0].put(t, frame("too late"))
		b.TxSync()
		c.RxSync()
		wantFrames(t, c.rx[0])
		_, err = o.e.Detach(engine.Here, "vale0:p0")
		wantErrno(t, "detach again", err, syscall.ENXIO)
		b.Close()
		c.Close()
	}
}

// A persistent port that is attached to a second switch connects the two switches.
func TestPersistentPortJoinsTwoSwitches(t *testing.T) {
	o := newOffice(t, 0, 1)
	o.mustNewIf("p0")
	o.mustAttach("vale1:p0")
	o.mustAttach("vale2:p0")
	a, b := o.program("vale1:a"), o.program("vale2:b")
	for name, want := range map[string]syscall.Errno{"p0": syscall.EBUSY, "vale1:p0": syscall.EBUSY,
		"vale2:p0": syscall.EBUSY} {
		_, err := o.open(name)
		wantErrno(t, "open "+name, err, want)
	}
	for i := range 200 { // more than the rings hold
		there, back := frame(fmt.Sprint("there ", i)), frame(fmt.Sprint("back ", i))
		a.tx[0].put(t, there)
		a.TxSync()
		wantSoon(t, b, there)
		b.tx[0].put(t, back)
		b.TxSync()
		wantSoon(t, a, back)
	}
	_, err := o.attach("vale0:p0")
	wantErrno(t, "attach to a third switch", err, syscall.EBUSY)
	_, err = o.e.Detach(engine.Here, "vale1:p0")
	wantErrno(t, "detach from the first switch", err, syscall.EBUSY)
	for _, name := range []string{"vale2:p0", "vale1:p0"} {
		wantErrno(t, "delete", o.delIf("p0"), syscall.EBUSY)
		_, err = o.e.Detach(engine.Here, name)
		wantErrno(t, "detach "+name, err, 0)
	}
	wantErrno(t, "delete", o.delIf("p0"), 0)
}

// Two ports that each connect the same two switches make a loop, in which a broadcast goes round
// for ever. Nothing else may block meanwhile.
func TestALoopOfSwitches(t *testing.T) {
	o := newOffice(t, 0, 1)
	for i, first := range []string{"vale1:", "vale2:"} {
		name := fmt.Sprint("p", i)
		o.mustNewIf(name)
		o.mustAttach(first + name)
	}
	o.mustAttach("vale2:p0")
	o.mustAttach("vale1:p1")
	a, b := o.program("vale1:a"), o.program("vale2:b")
	for range 20 {
		a.tx[0].put(t, frame("round"))
		a.TxSync()
		b.tx[0].put(t, frame("and round"))
		b.TxSync()
		time.Sleep(time.Millisecond)
	}
	for _, name := range []string{"vale1:p1", "vale2:p0"} {
		if _, err := o.e.Detach(engine.Here, name); err != nil {
			t.Error(err)
		}
	}
}

// wantSoon waits for a frame.
func wantSoon(t *testing.T, p *program, want string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Microsecond) {
		p.RxSync()
		if got := p.rx[0].take(); len(got) > 0 || time.Now().After(end) {
			if fmt.Sprint(got) != fmt.Sprint([]string{want}) {
				t.Fatalf("received %q, want %q", got, want)
			}
			return
		}
	}
}

// receive waits for a frame that looks like the one wanted.
func receive(t *testing.T, p *program, wanted func(string) bool) string {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(
		100 * time.Microsecond) {
		p.RxSync()
		for _, f := range p.rx[0].take() {
			if wanted(f) {
				return f
			}
		}
	}
	t.Fatal("the frame did not come")
	return ""
}

// A program that opens the interface of a persistent port before the port is there has a port of
// its own, which ends when the program closes it.
func TestInterfaceOpenedBeforeItsPersistentPort(t *testing.T) {
	o := newOffice(t, 0, 1)
	o.mustNewIf("p") // or the test is skipped
	if err := o.delIf("p"); err != nil {
		t.Fatal(err)
	}
	early := 0
	for range 20 {
		opened := make(chan *engine.Binding)
		go func() {
			for {
				if b, err := o.open("p"); !errors.Is(err, syscall.ENXIO) {
					opened <- b
					return
				}
			}
		}()
		o.mustNewIf("p")
		b := <-opened
		if b == nil {
			t.Fatal("the interface cannot be opened")
		}
		if slices.ContainsFunc(o.e.Status().Ports, func(p status.Port) bool { return p.Kind == "nic" }) {
			early++
		}
		late := o.program("p") // the persistent port, whatever the first one is
		late.Close()
		b.Close()
		if err := o.delIf("p"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of 20 were opened before", early)
}
