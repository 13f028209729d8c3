package engine

import (
	"errors"
	"strings"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/tap"
)

// parent is the name that pipes stand behind, foo of foo{1. Where no interface has it, a persistent
// port of that name is made with the first pipe, and goes with the last: programs look for the
// interface to learn which end is theirs.
type parent struct {
	name string

	// making is held while the interface is made or taken away, which takes milliseconds. Only
	// those who open a pipe of the same parent wait for it. It is taken before the engine's lock.
	making sync.Mutex

	// What follows is guarded by the engine's lock.
	pipes int    // ends in the registry, and those that are about to be
	port  *entry // nil where there is none
}

// holdParent sees to it that the parent of a pipe is an interface, in the calling thread's network
// namespace, if one can be made, and counts the pipe. It returns nil for what is no pipe. The
// engine is not locked.
func (e *Engine) holdParent(t target, req *abi.Register, user uint32) *parent {
	k := t.key
	name := k.name
	isName := name != "" && len(name) < abi.IfNameSize &&
		!strings.HasPrefix(name, valePrefix) && !strings.ContainsAny(name, "{}%")
	opens := k.pipe != "" && (req.Mode == abi.RegAllNIC || req.Mode == abi.RegOneNIC)
	if !e.cfg.PipeInterfaces || t.kind != "pipe" || !isName || !opens {
		return nil
	}
	e.mu.Lock()
	p := e.parents[name]
	if p == nil {
		p = &parent{name: name}
		e.parents[name] = p
	}
	p.pipes++
	e.mu.Unlock()
	p.making.Lock()
	defer p.making.Unlock()
	if err := e.makeParent(p, user); err != nil && !errors.Is(err, syscall.EEXIST) {
		e.report(event.Event{Kind: event.NoParent, Port: name + "{" + k.pipe, Err: err})
	}
	return p
}

// makeParent makes the interface unless there is one.
func (e *Engine) makeParent(p *parent, user uint32) error {
	e.mu.Lock()
	if p.port != nil {
		e.bury(p.port)
	}
	made, err := p.port != nil || e.closed, error(nil)
	if !made {
		err = e.takeShare(p.name, user)
	}
	e.mu.Unlock()
	if made || err != nil {
		return err
	}
	port := &entry{Target: session.Target{Name: p.name}, kind: "vale", user: user, pipesOf: p}
	if port.device, port.Dev, err = newDevice(p.name); err == nil {
		// The kernel gives it no address of its own when somebody sets it up. It fails where there
		// is no IPv6.
		link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: port.Dev.Index}}
		netlink.LinkSetIP6AddrGenMode(link, addrGenModeNone)
		err = e.addPersistent(port, &abi.ValeNewIf{})
	}
	if err != nil {
		e.giveBackShare(user)
	}
	return err
}

const addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE

// dropParent is the inverse of holdParent. The caller holds the engine's lock.
func (e *Engine) dropParent(p *parent) {
	if p == nil {
		return
	}
	if p.pipes--; p.pipes == 0 {
		e.endParent(p)
	}
}

// endParent takes the interface away of a parent that has no pipes any more, unless somebody has
// come to use it for itself. Those who hold the engine's lock do not wait for that.
func (e *Engine) endParent(p *parent) {
	e.ending.Go(func() {
		p.making.Lock()
		defer p.making.Unlock()
		e.mu.Lock()
		var device *tap.Interface
		if port := p.port; p.pipes == 0 && port != nil && !port.active() && port.Alias == "" {
			device = e.takeDevice(port)
			e.drop(port)
		}
		e.mu.Unlock()
		if device != nil {
			device.Close()
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if p.pipes == 0 && p.port == nil && e.parents[p.name] == p {
			delete(e.parents, p.name)
		}
	})
}

// takeShare counts an interface that is made for a user, who may have only so many. EMFILE when he
// has them. Root could make them himself, and may have any number.
func (e *Engine) takeShare(name string, user uint32) error {
	if user != 0 && e.made[user] >= e.cfg.UserInterfaces {
		return fault.New(syscall.EMFILE, newIfOp, name,
			"user %d has %d interfaces already (persistent ports and parents of pipes); delete some", user, e.made[user])
	}
	e.made[user]++
	return nil
}

// giveBackShare is the inverse. It locks the engine.
func (e *Engine) giveBackShare(user uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.returnShare(user)
}

func (e *Engine) returnShare(user uint32) {
	if e.made[user]--; e.made[user] == 0 {
		delete(e.made, user)
	}
}
