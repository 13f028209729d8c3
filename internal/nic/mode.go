//go:build linux

package nic

import (
	"errors"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// choose finds the best mode that works, opens the first socket in it, and attaches the XDP program where the mode or the
// direction needs it.
func (p *Port) choose(q *queue, receives bool) (*xsk.Socket, error) {
	var err error
	for _, p.mode = range p.candidates() {
		var s *xsk.Socket
		if s, err = p.try(q, p.mode, receives); err == nil {
			p.chosen = true
			return s, nil
		}
		if hopeless(err) {
			break
		}
	}
	return nil, err
}

func (p *Port) candidates() []xsk.Mode {
	if p.cfg.Mode != nil {
		return []xsk.Mode{*p.cfg.Mode}
	}
	return []xsk.Mode{xsk.ZeroCopy, xsk.Native} // attach falls back from native to generic
}

// try opens a socket in a mode. In the copy modes one that only sends needs no program, and leaves an interface that has
// a program already alone.
func (p *Port) try(q *queue, mode xsk.Mode, receives bool) (*xsk.Socket, error) {
	if mode == xsk.ZeroCopy && !p.link.zeroCopy && p.cfg.Mode == nil {
		return nil, fault.New(syscall.EOPNOTSUPP, "open", p.name, "its driver has no zero-copy")
	}
	if receives || mode == xsk.ZeroCopy {
		if err := p.attach(); err != nil {
			return nil, err
		}
	}
	s, err := p.openSocket(q, mode)
	if err != nil {
		p.detach()
	}
	return s, err
}

// attach attaches the XDP program, and has the interface receive frames as they are on the wire. Sockets are the same in both
// copy modes, so generic is what is left where the driver has no XDP, or not with these queues or this MTU.
func (p *Port) attach() (err error) {
	if err := p.take(takeover.Needs{Off: takeover.Breaking, Promisc: p.cfg.Promisc}); err != nil {
		return err
	}
	if p.memory.Spare > 0 {
		if p.program, p.noStamps = xsk.AttachStamping(p.link.index, len(p.queues), p.mode); p.noStamps == nil {
			return nil
		}
	}
	p.program, err = p.attachAs(p.mode)
	if err == nil || p.mode != xsk.Native || p.cfg.Mode != nil || hopeless(err) {
		return err
	}
	if p.program, err = p.attachAs(xsk.Generic); err == nil {
		p.mode = xsk.Generic
	}
	return err
}

// Stamps says why received frames do not come with the time of their arrival; nil if they do. Some rx ring is started.
func (p *Port) Stamps() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.memory.Spare == 0:
		return fault.New(syscall.EOPNOTSUPP, "open", p.name, "there is no room for time stamps in the region; use netmap serve --rx-timestamps, or embed.Config.RxTimestamps")
	case p.program == nil:
		return fault.New(syscall.EOPNOTSUPP, "open", p.name, "no rx ring is open, and time stamps are of received frames")
	}
	return p.noStamps
}

// attachAs attaches a program. Only generic XDP sees what host rings give to the host.
func (p *Port) attachAs(mode xsk.Mode) (*xsk.Program, error) {
	if mode == xsk.Generic && p.cfg.Prefix != 0 {
		return xsk.AttachGeneric(p.link.index, len(p.queues), p.cfg.Prefix)
	}
	return xsk.Attach(p.link.index, len(p.queues), mode)
}

// hopeless says whether no other mode would fare better.
func hopeless(err error) bool { return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EPERM) }

// renew reminds a driver of the XDP program.
func (p *Port) renew() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.program == nil || p.mode == xsk.Generic {
		return nil
	}
	return p.watch.inNamespace(p.program.Renew)
}

func (p *Port) detach() {
	if p.program != nil {
		p.program.Close()
		p.program = nil
	}
}

// needsProgram says whether any ring receives, or any socket is there in zero-copy mode, which drivers tie to a program.
func (p *Port) needsProgram() bool {
	for _, q := range p.queues {
		if q.rx != nil && q.rx.ring.Mapped() || q.socket != nil && p.mode == xsk.ZeroCopy {
			return true
		}
	}
	return false
}
