//go:build linux

package nic

import (
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// The shortest and the longest time for which an interface can be left to programs that poll.
const (
	leastBusyPoll = time.Microsecond
	mostBusyPoll  = 100 * time.Millisecond
)

// emptyRounds is the number of polls without frames after which the driver enables interrupts
// again. The kernel's documentation of AF_XDP recommends 2.
const emptyRounds = 2

// SetBusyPoll makes interfaces receive in the syncs of their programs instead of in interrupts. If
// no program syncs for d, the kernel uses interrupts again. 0 turns busy polling off. EINVAL for a
// time that is out of bounds.
func (c *Config) SetBusyPoll(d time.Duration) error {
	if d != 0 && (d < leastBusyPoll || d > mostBusyPoll) {
		return fault.New(syscall.EINVAL, "poll drivers", "for "+d.String(),
			"want from %v to %v, or 0 to leave it to interrupts", leastBusyPoll, mostBusyPoll)
	}
	c.BusyPoll = d
	return nil
}

// deferral returns the settings of the interface that busy polling needs, nil for none.
func (p *Port) deferral() *ethtool.Deferral {
	if p.cfg.BusyPoll == 0 {
		return nil
	}
	return &ethtool.Deferral{HardIRQs: emptyRounds, FlushTimeout: int(p.cfg.BusyPoll.Nanoseconds())}
}

// canBusyPoll returns EOPNOTSUPP for busy polling in generic mode: frames of generic XDP have
// already come through the driver's receive loop, and the kernel does not report through which one.
func (p *Port) canBusyPoll(mode xsk.Mode) error {
	if p.cfg.BusyPoll == 0 || mode != xsk.Generic {
		return nil
	}
	return fault.New(syscall.EOPNOTSUPP, "poll the driver of", p.Title(),
		"in generic mode there is none to poll: leave out --busy-poll (embed.Config.BusyPoll), or use "+
			"--xdp-mode native or zero-copy if 'netmap info' says that the interface can")
}
