//go:build linux

package nic

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// choose finds the best mode that works, opens the first socket in it, and attaches the XDP program
// if the mode or the direction needs it. Sockets are the same in both copy modes; only attach
// distinguishes them.
func (p *Port) choose(q *queue, receives bool) (*xsk.Socket, error) {
	var err error
	for _, p.mode = range p.choice.Try {
		var s *xsk.Socket
		if s, err = p.try(q, p.mode, receives); err == nil {
			p.chosen = true
			if p.program == nil && p.choice.Mode == xsk.Generic {
				p.mode = xsk.Generic
			}
			return s, nil
		}
		if p.mode != xsk.ZeroCopy || hopeless(err) {
			break
		}
	}
	return nil, err
}

// try opens a socket in a mode. A socket that only sends leaves an XDP program of others on the
// interface.
func (p *Port) try(q *queue, mode xsk.Mode, receives bool) (*xsk.Socket, error) {
	if receives || p.isTied() {
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

// isTied reports whether sockets that only send need the program, too. Drivers require it for
// zero-copy. Copy modes do not need it, but a user who asks for native mode should get an error if
// the driver has no XDP.
func (p *Port) isTied() bool {
	return p.mode == xsk.ZeroCopy || p.cfg.Mode != nil && *p.cfg.Mode == xsk.Native
}

// attach attaches the XDP program, and sets the interface to receive frames as they are on the
// wire. Generic mode is left if the driver has no XDP, or not with these queues or this MTU.
func (p *Port) attach() (err error) {
	if err := p.takeBelow(); err != nil {
		return err
	}
	needs := takeover.Needs{Off: takeover.Breaking, Promisc: p.cfg.Promisc, Deferral: p.deferral()}
	if err := p.take(needs); err != nil {
		return err
	}
	p.noStamps = nil
	try := []xsk.Mode{xsk.ZeroCopy}
	if p.mode != xsk.ZeroCopy {
		isZeroCopy := func(m xsk.Mode) bool { return m == xsk.ZeroCopy }
		try = slices.DeleteFunc(slices.Clone(p.choice.Try), isZeroCopy)
	}
	for _, p.mode = range try {
		if p.program, err = p.attachAs(p.mode); err == nil || hopeless(err) {
			return err
		}
	}
	return err
}

// Stamps returns the reason why received frames have no time of arrival, nil if they have one. It
// may be called after an rx ring has started.
func (p *Port) Stamps() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.memory.Spare == 0:
		return fault.New(syscall.EOPNOTSUPP, "open", p.Title(),
			"there is no room for time stamps in the region; use netmap serve --rx-timestamps, "+
				"or embed.Config.RxTimestamps")
	case p.program == nil:
		return fault.New(syscall.EOPNOTSUPP, "open", p.Title(),
			"no rx ring is open, and time stamps are of received frames")
	}
	return p.noStamps
}

// attachAs attaches a program. If there is room for time stamps and the driver can tell the time,
// the program writes them. Only generic XDP sees the frames that host rings give to the host.
func (p *Port) attachAs(mode xsk.Mode) (program *xsk.Program, err error) {
	if err := p.canBusyPoll(mode); err != nil {
		return nil, err
	}
	if p.memory.Spare > 0 && (mode != xsk.Generic || p.noStamps == nil) {
		program, p.noStamps = xsk.AttachStamping(p.link.index, len(p.queues), mode)
		if p.noStamps == nil {
			return program, nil
		}
	}
	if prefix := p.Prefix(); mode == xsk.Generic && prefix.Secret != 0 {
		return xsk.AttachGeneric(p.link.index, len(p.queues), prefix)
	}
	return xsk.Attach(p.link.index, len(p.queues), mode)
}

// hopeless reports whether every other mode would fail, too.
func hopeless(err error) bool {
	return errors.Is(err, syscall.EBUSY) ||
		errors.Is(err, syscall.EPERM)
}

// renew attaches the XDP program again for drivers that drop it when they stop the interface.
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

// needsProgram reports whether any ring receives, or any open socket needs the program to send.
func (p *Port) needsProgram() bool {
	for _, q := range p.queues {
		if q.rx != nil && q.rx.ring.Mapped() || q.socket != nil && p.isTied() {
			return true
		}
	}
	return false
}

// whyMode returns the reason why the interface is used in its mode, "" if that is the expected
// mode.
func (p *Port) whyMode() string {
	if p.mode == p.choice.Mode {
		return p.choice.Why
	}
	return ""
}

// SetMode sets the mode by its name, one of nicfacts.ModeNames; "" chooses automatically. EINVAL
// for an unknown name.
func (c *Config) SetMode(name string) (err error) {
	c.Mode, err = nicfacts.ParseMode(name)
	return err
}

// whyGeneric returns the reason why the port is in generic mode although the user did not choose
// it; "" in other modes.
func (p *Port) whyGeneric() string {
	switch {
	case p.mode != xsk.Generic || p.choice.Why == nicfacts.AsAsked:
		return ""
	case p.choice.Mode != xsk.Generic:
		return "the driver does not take XDP programs as it is set up now"
	}
	return p.choice.Why
}

// note reports notes for users about the interface when it comes into use.
func (p *Port) note() {
	notes := p.link.facts.Notes()
	if why := p.whyGeneric(); why != "" {
		notes = append(notes, "frames pass in generic mode, which is the slowest: "+why)
	}
	if most := int(min(p.segments*p.maxTx, nicfacts.MaxPacket)); p.MTU()+etherHead > most {
		notes = append(notes, nicfacts.TooLong(p.MTU(), most)+
			fmt.Sprintf(": 'ip link set dev %s mtu %d'", p.Title(), most-etherHead))
	}
	for _, n := range notes {
		p.report(event.Event{Kind: event.Note, Reason: n})
	}
}
