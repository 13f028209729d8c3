// Package netmaptest replaces the framework in tests. Its interfaces exist in memory only, and the
// test is at the other end of each interface's cable. It needs no privileges, no device and no
// network.
//
//	func TestMyProgram(t *testing.T) {
//		fake := netmaptest.New(t)
//		wire := fake.Interface("eth0")
//		go myProgram(fake.Open) // in production: myProgram(netmap.Open)
//
//		wire.Send(request)
//		wire.Expect(answer)
//	}
//
// Ports, rings and slots are real; package embed provides them. For a program to which a port is
// passed, Pair is enough.
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

// Fake is a framework whose interfaces exist in memory only. It is closed when its test ends.
type Fake struct {
	t          testing.TB
	framework  *embed.Framework
	interfaces map[string]*Wire
}

// New returns a framework without interfaces.
func New(t testing.TB) *Fake {
	t.Helper()
	f, err := embed.New(embed.Config{NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &Fake{t: t, framework: f, interfaces: map[string]*Wire{}}
}

// Pair returns two connected ports: what one sends, the other receives. The options are for both.
func Pair(t testing.TB, options ...netmap.Option) (a, b *netmap.Port) {
	t.Helper()
	f := New(t)
	return f.mustOpen("pair{1", options...), f.mustOpen("pair}1", options...)
}

// Open opens a port, as netmap.Open does. Interfaces are those of the fake, without host rings. All
// other ports (VALE, pipes) are those of package embed, and share the fake's memory. ENXIO for an
// interface that the fake does not have; other errors are those of embed.Framework.Open.
func (f *Fake) Open(name string, options ...netmap.Option) (*netmap.Port, error) {
	n, err := portname.Parse(name)
	if err != nil {
		return nil, err
	}
	if n.Kind() == portname.Interface {
		if f.interfaces[n.Port] == nil {
			return nil, fault.New(syscall.ENXIO, "open", name,
				"the fake has no such interface; add it with Interface")
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

// Suffixes of the two ends of the pipe that represents an interface and its cable.
const (
	test    = "{wire"
	program = "}wire"
)

// Interface adds an interface with this name, such as "eth0", and returns the other end of its
// cable. Options are the numbers of rings (netmap.Rings) and slots (netmap.Slots); the default is
// one ring of 1024 slots in each direction. Interface must not be called while a program opens
// ports.
func (f *Fake) Interface(name string, options ...netmap.Option) *Wire {
	f.t.Helper()
	if n, err := portname.Parse(name); err != nil || n.Port != name ||
		n.Kind() != portname.Interface || f.interfaces[name] != nil {
		f.t.Fatalf("add interface %q: want a new name that is neither a switch's nor a pipe's",
			name)
	}
	port := f.mustOpen(name+test, options...)
	w := &Wire{t: f.t, name: name, port: port, conn: packet.New(port)}
	f.t.Cleanup(func() { w.conn.Close() })
	f.interfaces[name] = w
	return w
}
