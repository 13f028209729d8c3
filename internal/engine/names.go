package engine

import (
	"errors"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/monitor"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/ns"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// key is what a port is in the registry. Each kind uses some of the fields.
type key struct {
	dev    netdev.ID // an interface, or a persistent port, of which the host sees an interface
	name   string    // a port of a switch; of a pipe, the parent
	pipe   string    // of a pipe, its id
	slave  bool      // of a pipe, its end
	number uint64    // a port that nobody finds by a name
}

// other is the key of a pipe's other end.
func (k key) other() key {
	k.slave = !k.slave
	return k
}

// onSwitch says whether it is a port of a switch.
func (k key) onSwitch() bool { return k.name != "" && k.pipe == "" }

// target is the port that a name means to the calling thread, in whose network namespace interfaces
// are. It is found before the engine is locked, because the kernel may take its time to answer.
type target struct {
	kind string
	name string
	key  key
	err  error // there can be no such port

	place    string // the kind, of a monitor that of its parent
	parent   key    // of a pipe, the port that it is a pipe of, if there is one
	isDevice bool   // of a port of a switch: what is behind the colon is an interface
}

// targetOf finds out what a name and its request mean.
func targetOf(name string, req *abi.Register) target {
	plain := *req
	plain.Flags &^= monitor.Flags
	t := target{kind: kindOf(name, req), place: kindOf(name, &plain), name: name}
	switch t.place {
	case "null":
		t.name = "null:" + name
	case "pipe":
		t.key = pipeKey(name)
		t.parent = parentKey(t.key.name)
	case "vale":
		t.key = key{name: name}
		_, port, _ := strings.Cut(name, ":")
		t.isDevice = netdev.Exists(port)
	case "nic":
		t.key.dev, t.err = netdev.Find(name)
		if t.err != nil {
			t.err = noInterface("open", name, t.err)
		}
	}
	return t
}

// pipeKey takes the name of a pipe's end apart.
func pipeKey(name string) key {
	at := strings.LastIndexAny(name, "{}")
	return key{name: name[:at], pipe: name[at+1:], slave: name[at] == '}'}
}

// parentKey is the key of the port that has the name of a pipe's parent.
func parentKey(name string) key {
	switch {
	case strings.ContainsAny(name, "{}"):
		return pipeKey(name)
	case strings.HasPrefix(name, valePrefix):
		return key{name: name}
	}
	id, _ := netdev.Find(name) // none is as good as one that nobody has open
	return key{dev: id}
}

// noInterface is the error for a name that means no interface. ENXIO when there is none.
func noInterface(op, name string, err error) error {
	if errors.Is(err, syscall.ENODEV) {
		return fault.New(syscall.ENXIO, op, name,
			"there is no such interface in this network namespace; 'netmap info' lists those there are")
	}
	return fault.Wrap(err, op, name, "")
}

// kindOf says what kind of port a name and its request mean, in the order in which netmap tries
// them.
func kindOf(name string, req *abi.Register) string {
	switch {
	case req.Mode == abi.RegNull:
		return "null"
	case req.Flags&monitor.Flags != 0:
		return "monitor"
	case strings.ContainsAny(name, "{}"):
		return "pipe"
	case strings.HasPrefix(name, valePrefix):
		return "vale"
	}
	return "nic"
}

// longest is how long the name of a port of that kind may be. Only an interface has names longer
// than a request can hold.
func longest(kind string) int {
	if kind == "nic" {
		return netdev.MaxName
	}
	return abi.ReqNameSize - 1
}

// newKey is the key of a port that no name finds.
func (e *Engine) newKey() key {
	e.unnamed++
	return key{number: e.unnamed}
}

// find is the port of that key, nil if there is none. One whose interface is gone ends before.
func (e *Engine) find(k key) *entry {
	if p := e.ports[k]; p != nil {
		e.bury(p)
	} else if k.dev != (netdev.ID{}) {
		e.buryAll() // a persistent port may have come from another network namespace
	}
	return e.ports[k]
}

// gone says whether the interface of the port has been deleted or moved to another network
// namespace.
func (p *entry) gone() bool { return p.Dev != nil && !p.buried && p.Dev.Gone() }

// bury ends a port whose interface is gone, or that of what is attached as the port.
//
// It leaves its switch, whose name is free again for who comes next: what that is, and whether it
// is to be attached, is for whoever attaches it to decide. Programs that have the port open keep it
// until they close it; no name finds it any more.
func (e *Engine) bury(p *entry) {
	switch {
	case p.inner != nil:
		p = p.inner
	case p.isHost():
		p = p.owner.inner
	}
	if !p.gone() || p.device != nil && e.follow(p) {
		return
	}
	p.buried = true
	if a, ok := p.Port.(port.Abandoner); ok {
		a.Abandon()
	}
	if outer := p.owner; outer != nil {
		e.report(event.Event{Kind: event.Detached, Port: outer.Name, Interface: p.Title()})
		e.detach(outer)
	}
	if p.device != nil {
		e.endDevice(p)
	}
	if e.ports[p.key] == p {
		delete(e.ports, p.key)
		e.name(p, e.newKey())
	}
	e.drop(p)
}

// name has a port found by a key from now on. Whoever opened the interface of a persistent port
// before the port was there has another port of that key: he keeps it, and no name finds it any
// more.
func (e *Engine) name(p *entry, k key) {
	if other := e.ports[k]; other != nil {
		other.key = e.newKey()
		e.ports[other.key] = other
	}
	p.key = k
	e.ports[k] = p
}

// follow finds the interface of a persistent port in the network namespace to which it was moved.
// The port is the same there, and on the same switch.
func (e *Engine) follow(p *entry) bool {
	fd, err := p.device.NetNS()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var dev *netdev.Device
	err = ns.Do(netns.NsHandle(fd), p.Name, func() error {
		name, err := p.device.NameNow()
		if err != nil {
			return err
		}
		id, err := netdev.Find(name)
		if err != nil {
			return err
		}
		dev, err = netdev.Open(id.Index)
		return err
	})
	if err != nil {
		return false
	}
	p.Dev.Close()
	delete(e.ports, p.key)
	p.Dev = dev
	e.name(p, key{dev: dev.ID})
	return true
}

// buryAll ends all ports whose interfaces are gone.
func (e *Engine) buryAll() {
	for _, p := range e.entries() {
		e.bury(p)
	}
}

// interfaceGone is told when an interface may be gone.
func (e *Engine) interfaceGone() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.buryAll()
	}
}
