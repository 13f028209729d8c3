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

// choose finds the best mode that works, opens the first socket in it, and attaches the XDP program where the mode or the
// direction needs it. Sockets are the same in both copy modes: attach tells those apart.
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

// try opens a socket in a mode. One that only sends leaves an interface that has a program already
// alone.
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

// isTied says whether sockets that only send need the program, too. Drivers tie zero-copy to it. In
// the copy modes they do not, but whoever asks for XDP in the driver is to hear that there is none.
func (p *Port) isTied() bool {
	return p.mode == xsk.ZeroCopy || p.cfg.Mode != nil && *p.cfg.Mode == xsk.Native
}

// attach attaches the XDP program, and has the interface receive frames as they are on the wire.
// Generic is what is left where the driver has no XDP, or not with these queues or this MTU.
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
		try = slices.DeleteFunc(slices.Clone(p.choice.Try), func(m xsk.Mode) bool { return m == xsk.ZeroCopy })
	}
	for _, p.mode = range try {
		if p.program, err = p.attachAs(p.mode); err == nil || hopeless(err) {
			return err
		}
	}
	return err
}

// Stamps says why received frames do not come with the time of their arrival; nil if they do. Some rx ring is started.
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

// attachAs attaches a program, one that tells when frames arrived if there is room for it and the
// driver can. Only generic XDP sees what host rings give to the host.
func (p *Port) attachAs(mode xsk.Mode) (program *xsk.Program, err error) {
	if err := p.canBusyPoll(mode); err != nil {
		return nil, err
	}
	if p.memory.Spare > 0 && (mode != xsk.Generic || p.noStamps == nil) {
		if program, p.noStamps = xsk.AttachStamping(p.link.index, len(p.queues), mode); p.noStamps == nil {
			return program, nil
		}
	}
	if prefix := p.Prefix(); mode == xsk.Generic && prefix.Secret != 0 {
		return xsk.AttachGeneric(p.link.index, len(p.queues), prefix)
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

// needsProgram says whether any ring receives, or any socket is there that is tied to the program.
func (p *Port) needsProgram() bool {
	for _, q := range p.queues {
		if q.rx != nil && q.rx.ring.Mapped() || q.socket != nil && p.isTied() {
			return true
		}
	}
	return false
}

// whyMode is why the interface is used in that mode, "" where another was expected.
func (p *Port) whyMode() string {
	if p.mode == p.choice.Mode {
		return p.choice.Why
	}
	return ""
}

// SetMode sets the mode by its name, one of nicfacts.ModeNames; "" chooses. EINVAL for a name that
// means no mode.
func (c *Config) SetMode(name string) (err error) {
	c.Mode, err = nicfacts.ParseMode(name)
	return err
}

// whyGeneric says why the port is in generic mode though nobody has asked for that; "" if it is
// not.
func (p *Port) whyGeneric() string {
	switch {
	case p.mode != xsk.Generic || p.choice.Why == nicfacts.AsAsked:
		return ""
	case p.choice.Mode != xsk.Generic:
		return "the driver does not take XDP programs as it is set up now"
	}
	return p.choice.Why
}

// note tells users what they should know of the interface, which has just come into use.
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
