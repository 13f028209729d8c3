// Package netmaptest stands in for the framework in tests: interfaces that exist in memory only, with the test at the other end of
// each cable. It needs no privileges, no device and no network.
//
//	func TestMyProgram(t *testing.T) {
//		fake := netmaptest.New(t)
//		wire := fake.Interface("eth0")
//		go myProgram(fake.Open) // what opens ports with netmap.Open otherwise
//
//		wire.Send(request)
//		wire.Expect(answer)
//	}
//
// Ports, rings and slots are the real ones, carried by package embed. A program that takes a port instead of opening it needs Pair
// only.
package netmaptest

import (
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/packet"
	"github.com/seed-48afdc40/netmap/portname"
)

// Fake is a framework with interfaces that exist in memory only. It ends with its test.
type Fake struct {
	t          testing.TB
	framework  *embed.Framework
	interfaces map[string]*Wire
}

// New makes a framework without interfaces.
func New(t testing.TB) *Fake {
	t.Helper()
	f, err := embed.New(embed.Config{NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &Fake{t: t, framework: f, interfaces: map[string]*Wire{}}
}

// Pair is two ports that are connected: what one sends, the other receives. Options are for both.
func Pair(t testing.TB, options ...netmap.Option) (a, b *netmap.Port) {
	t.Helper()
	f := New(t)
	return f.mustOpen("pair{1", options...), f.mustOpen("pair}1", options...)
}

// Open opens a port, as netmap.Open does. Interfaces are those of the fake; all other ports (VALE, pipes) are those of package
// embed, with which the fake shares its memory. ENXIO for an interface that the fake has not; other errors are those of
// embed.Framework.Open. An interface has no host rings.
func (f *Fake) Open(name string, options ...netmap.Option) (*netmap.Port, error) {
	n, err := portname.Parse(name)
	if err != nil {
		return nil, err
	}
	if n.Kind() == portname.Interface {
		if f.interfaces[n.Port] == nil {
			return nil, fault.New(syscall.ENXIO, "open", name, "the fake has no such interface; add it with Interface")
		}
		n.Port += program
	}
	return f.framework.Open(n.String(), options...)
}

func (f *Fake) mustOpen(name string, options ...netmap.Option) *netmap.Port {
	f.t.Helper()
	p, err := f.framework.Open(name, options...)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// The ends of the pipe that stands for an interface and its cable.
const (
	test    = "{wire"
	program = "}wire"
)

// Interface adds an interface of that name, such as "eth0", and returns the other end of its cable. Options say how many rings
// (netmap.Rings) and slots (netmap.Slots) it has; one ring of 1024 slots a direction by default. It must not be called while a
// program opens ports.
func (f *Fake) Interface(name string, options ...netmap.Option) *Wire {
	f.t.Helper()
	if n, err := portname.Parse(name); err != nil || n.Port != name || n.Kind() != portname.Interface || f.interfaces[name] != nil {
		f.t.Fatalf("add interface %q: want a name that is new, and neither that of a switch nor of a pipe", name)
	}
	port := f.mustOpen(name+test, options...)
	w := &Wire{t: f.t, name: name, port: port, conn: packet.New(port)}
	f.t.Cleanup(func() { w.conn.Close() })
	f.interfaces[name] = w
	return w
}
