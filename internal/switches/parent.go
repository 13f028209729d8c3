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

// parent is the parent of pipes: foo is that of foo{1. If no interface has that name, the first
// pipe makes a persistent port of the name, and the last pipe removes it: programs look for the
// interface to learn which end of the pipe they have.
type parent struct {
	name string

	// making is held while the interface is made or removed, which takes milliseconds. Only programs
	// that open a pipe of the same parent wait for it. It is locked before the registry.
	making sync.Mutex

	// The registry's lock guards the following fields.
	pipes int             // number of pipe ends in the registry or about to be added
	port  *registry.Entry // the persistent port; nil if none was made
}

// HoldParent makes an interface for the parent of a pipe, if there is none and one can be made, and
// counts the pipe. HoldParent takes the registry's lock. The caller must later call release with
// the lock held. release is nil if the parent is not to be an interface.
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

// makeParent makes the interface of a parent, unless this was done already. EEXIST if the host has
// an interface of that name.
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

// withoutAddress keeps the kernel from giving an interface an IPv6 address when it is set up. It
// has no effect on a kernel without IPv6.
func withoutAddress(index int) {
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
	netlink.LinkSetIP6AddrGenMode(link, addrGenModeNone)
}

const addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE

// dropParent undoes HoldParent. The caller holds the lock.
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

// endParent removes the interface of a parent that has no pipes any more, unless it is in use as a
// port by itself. It does so in a goroutine, because the caller holds the registry's lock.
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

// takeShare counts an interface that is made for a user. EMFILE if the user has the maximum
// already. Root has no maximum, because root can make interfaces without netmap.
func (s *Switches) takeShare(name string, user uint32) error {
	if user != 0 && s.made[user] >= s.cfg.UserInterfaces {
		return fault.New(syscall.EMFILE, newIfOp, name,
			"user %d has %d interfaces already (persistent ports and parents of pipes); delete some", user,
			s.made[user])
	}
	s.made[user]++
	return nil
}

// giveBackShare undoes takeShare. It takes the lock.
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
