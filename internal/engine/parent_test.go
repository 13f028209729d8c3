package engine_test

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// newPipeOffice returns an office that makes interfaces for the parents of pipes, at most two for a
// user.
func newPipeOffice(t *testing.T) *office {
	return newOfficeOf(t, 1, 1, engine.Config{PipeInterfaces: true, UserInterfaces: 2})
}

func (o *office) openAs(user uint32, name string) *program {
	o.t.Helper()
	var b *engine.Binding
	var err error
	o.ns.Do(func() { b, err = o.e.RegisterWith(name, request(16), engine.Options{User: user}) })
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { b.Close() })
	return see(b)
}

// link is an interface of the office, nil if there is none.
func (o *office) link(name string) (l netlink.Link) {
	o.ns.Do(func() { l, _ = netlink.LinkByName(name) })
	return l
}

// wantSoonNoLink waits until an interface is gone.
func (o *office) wantSoonNoLink(name string) {
	o.t.Helper()
	for end := time.Now().Add(5 * time.Second); o.link(name) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			o.t.Fatalf("%s is still there", name)
		}
	}
}

// The parent of pipes is an interface from the first open on, and until the last end is closed.
func TestParentOfPipes(t *testing.T) {
	o := newPipeOffice(t)
	for range 5 { // the next pipe may come while the interface of the last is being taken away
		a := o.openAs(0, "foo{1")
		testutil.Require(t, "TAP interfaces", func() error {
			if o.link("foo") == nil {
				return syscall.EPERM
			}
			return nil
		}())
		index := o.index("foo")
		b, c := o.openAs(0, "foo}1"), o.openAs(0, "foo}2")
		wantPasses(t, a, b, "through the pipe")
		a.Close()
		b.Close()
		time.Sleep(5 * time.Millisecond)
		if o.link("foo") == nil || o.index("foo") != index {
			t.Error("the interface has gone before the last pipe")
		}
		c.Close()
	}
	o.wantSoonNoLink("foo")
	if left := o.e.Status().Ports; len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
}

// The kernel gives the parent no address by itself, also when it gets a carrier.
func TestParentHasNoAddress(t *testing.T) {
	o := newPipeOffice(t)
	o.openAs(0, "foo{1")
	o.ns.Do(func() {
		said, err := exec.Command("ip", "-d", "link", "show", "dev", "foo").Output()
		testutil.Require(t, "ip", err)
		if !strings.Contains(string(said), "addrgenmode none") {
			t.Errorf("%s", said)
		}
	})
}

// If the interface cannot be made, or exists already, the pipe opens without a new one.
func TestPipesWithoutParent(t *testing.T) {
	o := newPipeOffice(t)
	before := o.index("v0")
	for _, name := range []string{"v0{1", "v0}1", "sixteen_letters_{1", "vale0:a{1", "foo{1{2",
		"a/b{1", "a b{1", "x%d{1"} {
		p := o.openAs(0, name)
		p.Close()
	}
	var now []netlink.Link
	o.ns.Do(func() { now, _ = netlink.LinkList() })
	for _, l := range now {
		if n := l.Attrs().Name; n != "v0" && n != "lo" {
			t.Errorf("%s was made", n)
		}
	}
	if o.index("v0") != before {
		t.Error("v0 is another interface")
	}
	// A request that fails makes no interface, nor does one that only queries.
	o.ns.Do(func() {
		_, err := o.e.Register("bar{1", request(16, mode(abi.RegSW)))
		wantErrno(t, "host rings of a pipe", err, syscall.EINVAL)
		_, err = o.e.Register("bar{1", request(16, flags(abi.NRMonitorRx)))
		wantErrno(t, "monitor of what nobody has open", err, syscall.EINVAL)
		if _, err = o.e.PortInfo(engine.Here, "bar{1", abi.Register{}); err != nil {
			t.Error(err)
		}
	})
	if o.link("bar") != nil {
		t.Error("bar was made")
	}
	noAdmin(t, func() {
		o.ns.Do(func() {
			b, err := o.e.Register("baz{1", request(16))
			if err != nil {
				t.Error(err)
				return
			}
			b.Close()
		})
	})
	if o.link("baz") != nil {
		t.Error("baz was made")
	}
}

// noAdmin runs f without CAP_NET_ADMIN, on a thread that is not used again.
func noAdmin(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks it
		h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var sets [2]unix.CapUserData
		err := unix.Capget(&h, &sets[0])
		if err == nil {
			sets[0].Effective &^= 1 << unix.CAP_NET_ADMIN
			err = unix.Capset(&h, &sets[0])
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	testutil.Require(t, "to drop a capability", <-done)
}

// Every user but root has a share of interfaces. Beyond the share, pipes open without an interface,
// and persistent ports cannot be made.
func TestShareOfInterfaces(t *testing.T) {
	o := newPipeOffice(t)
	const user = 65534
	var all []*program
	for i := range 4 {
		all = append(all, o.openAs(user, fmt.Sprintf("u%d{1", i)),
			o.openAs(user, fmt.Sprintf("u%d}1", i)))
		wantPasses(t, all[2*i], all[2*i+1], "through the pipe")
		if got := o.link(fmt.Sprint("u", i)) != nil; got != (i < 2) {
			t.Errorf("interface %d: %v", i, got)
		}
		o.openAs(0, fmt.Sprintf("r%d{1", i))
		if o.link(fmt.Sprint("r", i)) == nil {
			t.Errorf("root has no interface %d", i)
		}
	}
	newIf := func(name string) (err error) {
		o.ns.Do(func() { _, err = o.e.NewIf(engine.Here, name, user, abi.ValeNewIf{}) })
		return err
	}
	wantErrno(t, "a persistent port beyond the share", newIf("p0"), syscall.EMFILE)
	all[0].Close()
	all[1].Close()
	o.wantSoonNoLink("u0")
	wantErrno(t, "a persistent port within it", newIf("p0"), 0)
	wantErrno(t, "another", newIf("p1"), syscall.EMFILE)
	wantErrno(t, "one that is there", newIf("lo"), syscall.EMFILE)
	wantErrno(t, "delete", o.delIf("p0"), 0)
	for range 3 {
		wantErrno(t, "one that is there", newIf("lo"), syscall.EEXIST)
	}
	wantErrno(t, "again", newIf("p1"), 0)
}

// Pipes are found by name from every namespace; the interface is where the first end was opened.
func TestParentInAnotherNamespace(t *testing.T) {
	o := newPipeOffice(t)
	a := o.openAs(0, "foo{1")
	var b *engine.Binding
	o.hosts[0].Do(func() {
		var err error
		if b, err = o.e.Register("foo}1", request(16)); err != nil {
			t.Fatal(err)
		}
		if _, err := netlink.LinkByName("foo"); err == nil {
			t.Error("there are two interfaces")
		}
	})
	wantPasses(t, a, see(b), "from one to the other")
	a.Close()
	if o.link("foo") == nil {
		t.Error("the interface goes before the pipe")
	}
	b.Close()
	o.wantSoonNoLink("foo")
}

// The parent is a port like any other persistent port, and stays while a program uses it.
func TestParentAsAPort(t *testing.T) {
	o := newPipeOffice(t)
	a := o.openAs(0, "foo{1")
	wantErrno(t, "delete the parent of a pipe", o.delIf("foo"), syscall.EBUSY)
	p := o.program("foo")
	a.Close()
	time.Sleep(20 * time.Millisecond)
	if o.link("foo") == nil {
		t.Fatal("a port that is open has gone")
	}
	a = o.openAs(0, "foo{1")
	p.Close()
	time.Sleep(20 * time.Millisecond)
	if o.link("foo") == nil {
		t.Fatal("the parent of a pipe has gone")
	}
	o.mustAttach("vale0:foo")
	b := open(t, o.e, "vale0:b", request(64))
	a.Close()
	wantPasses(t, o.program("foo"), b, "through the switch")
	if _, err := o.e.Detach(engine.Here, "vale0:foo"); err != nil {
		t.Fatal(err)
	}
	for _, s := range o.e.Status().Ports {
		if s.Name == "foo" && s.Users == 0 {
			t.Errorf("left behind: %+v", s)
		}
	}
}

// The host may delete the interface. Pipes continue to work, and the next pipe makes the interface
// again.
func TestParentDeleted(t *testing.T) {
	o := newPipeOffice(t)
	a, b := o.openAs(0, "foo{1"), o.openAs(0, "foo}1")
	o.delete("foo")
	wantPasses(t, a, b, "without the interface")
	if got := o.names(); slices.Contains(got, "foo") && o.link("foo") != nil {
		t.Errorf("ports %q", got)
	}
	c := o.openAs(0, "foo{2")
	if o.link("foo") == nil {
		t.Error("it was not made again")
	}
	for _, p := range []*program{a, b, c} {
		p.Close()
	}
	o.wantSoonNoLink("foo")
}

// In whatever order pipes are opened and closed, no interface is left over and none is missing.
func TestParentsAtOnce(t *testing.T) {
	o := newPipeOffice(t)
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			end := string("{}"[i%2])
			for round := range 15 {
				name := fmt.Sprint("n", (i+round)%3)
				var b *engine.Binding
				var err error
				o.ns.Do(func() { b, err = o.e.Register(name+end+fmt.Sprint(i/2), request(2)) })
				if err != nil {
					t.Error(err)
					return
				}
				if o.link(name) == nil {
					t.Errorf("%s has no interface", name)
				}
				b.Close()
			}
		})
	}
	all.Wait()
	for i := range 3 {
		o.wantSoonNoLink(fmt.Sprint("n", i))
	}
	if got := strings.Join(o.names(), " "); got != "" {
		t.Errorf("left behind: %s", got)
	}
}
