package switches

import (
	"errors"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/registry"
	"github.com/seed-48afdc40/netmap/internal/tap"
)

// parent is the name that pipes stand behind, foo of foo{1. Where no interface has it, a persistent
// port of that name is made with the first pipe, and goes with the last: programs look for the
// interface to learn which end is theirs.
type parent struct {
	name string

	// making is held while the interface is made or taken away, which takes milliseconds. Only
	// those who open a pipe of the same parent wait for it. It is taken before the registry's lock.
	making sync.Mutex

	// What follows is guarded by the registry's lock.
	pipes int             // ends in the registry, and those that are about to be
	port  *registry.Entry // nil where there is none
}

// HoldParent sees to it that the parent of a pipe is an interface, if one can be made, and counts
// the pipe. It returns what undoes that, to be called with the lock, which HoldParent takes itself;
// nil where parents are none.
func (s *Switches) HoldParent(k registry.Key, user uint32) (release func()) {
	name := k.Name
	if !s.cfg.PipeInterfaces || !isInterface(name) || len(name) >= abi.IfNameSize {
		return nil
	}
	s.reg.Lock()
	p := s.parents[name]
	if p == nil {
		p = &parent{name: name}
		s.parents[name] = p
	}
	p.pipes++
	s.reg.Unlock()
	p.making.Lock()
	defer p.making.Unlock()
	if err := s.makeParent(p, user); err != nil && !errors.Is(err, syscall.EEXIST) {
		s.reg.Report(event.Event{Kind: event.NoParent, Port: name + "{" + k.Pipe, Err: err})
	}
	return func() { s.dropParent(p) }
}

// makeParent makes the interface unless there is one.
func (s *Switches) makeParent(p *parent, user uint32) error {
	s.reg.Lock()
	if p.port != nil {
		s.reg.EndIfGone(p.port)
	}
	made, err := p.port != nil || s.reg.Closed, error(nil)
	if !made {
		err = s.takeShare(p.name, user)
	}
	s.reg.Unlock()
	if made || err != nil {
		return err
	}
	return s.makePersistent(p.name, user, p, &abi.ValeNewIf{})
}

// withoutAddress has the kernel give an interface no address of its own when somebody sets it up.
// It fails where there is no IPv6.
func withoutAddress(index int) {
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
	netlink.LinkSetIP6AddrGenMode(link, addrGenModeNone)
}

const addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE

// dropParent is the inverse of HoldParent. The caller holds the lock.
func (s *Switches) dropParent(p *parent) {
	p.pipes--
	s.endIdleParent(p)
}

// endIdleParent ends a parent that has no pipes. The caller holds the lock.
func (s *Switches) endIdleParent(p *parent) {
	if p.pipes == 0 {
		s.endParent(p)
	}
}

// endParent takes the interface away of a parent that has no pipes any more, unless somebody has
// come to use it for itself. Those who hold the registry's lock do not wait for that.
func (s *Switches) endParent(p *parent) {
	s.ending.Go(func() {
		p.making.Lock()
		defer p.making.Unlock()
		s.reg.Lock()
		var device *tap.Interface
		if port := p.port; p.pipes == 0 && port != nil && !port.Active() && port.Alias == "" {
			device = s.takeDevice(port, persistentOf(port))
			s.reg.Drop(port)
		}
		s.reg.Unlock()
		if device != nil {
			device.Close()
		}
		s.reg.Lock()
		defer s.reg.Unlock()
		if p.pipes == 0 && p.port == nil && s.parents[p.name] == p {
			delete(s.parents, p.name)
		}
	})
}

// takeShare counts an interface that is made for a user, who may have only so many. EMFILE when he
// has them. Root could make them himself, and may have any number.
func (s *Switches) takeShare(name string, user uint32) error {
	if user != 0 && s.made[user] >= s.cfg.UserInterfaces {
		return fault.New(syscall.EMFILE, newIfOp, name,
			"user %d has %d interfaces already (persistent ports and parents of pipes); delete some", user,
			s.made[user])
	}
	s.made[user]++
	return nil
}

// giveBackShare is the inverse. It takes the lock.
func (s *Switches) giveBackShare(user uint32) {
	s.reg.Lock()
	defer s.reg.Unlock()
	s.returnShare(user)
}

func (s *Switches) returnShare(user uint32) {
	if s.made[user]--; s.made[user] == 0 {
		delete(s.made, user)
	}
}
