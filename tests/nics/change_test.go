//go:build linux

package nics

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/ethtool"
)

// testLink takes the interface down and up, and pulls the cable, while ports are open.
func testLink(t *testing.T, p *pair) {
	ways := p.lab.ways()
	for i, w := range ways {
		a, b := p.a.open(t, w, ""), p.b.open(t, ways[1-i], "")
		p.ready(t)
		p.a.setUp(t, false)
		wantTrouble(t, a)
		p.a.setUp(t, true)
		p.ready(t)
		eventually(t, "the port works again", func() bool { return a.TxSync() == nil })
		p.exchange(t, a, b, 100)
		p.exchange(t, b, a, 100)
		p.pull(t)
		p.exchange(t, a, b, 100)
		p.exchange(t, b, a, 100)
		a.Close()
		b.Close()
	}
}

// pull pulls the cable and plugs it in again.
func (p *pair) pull(t *testing.T) {
	t.Helper()
	set := func(up bool) {
		link := map[string]any{"name": p.a.id, "up": up}
		if failed := wire.ask(t, "set_link", link); failed != "" {
			t.Fatal(failed)
		}
	}
	set(false)
	eventually(t, "no carrier", func() bool {
		return p.a.link(t).Attrs().OperState != netlink.OperUp
	})
	set(true)
	p.ready(t)
}

// wantTrouble checks that a port whose interface is gone or down returns an error event from a poll
// that sleeps, and EIO from a sync.
func wantTrouble(t *testing.T, port *netmap.Port) {
	t.Helper()
	events, err := port.Poll(t.Context(), netmap.In, patience)
	if err != nil || events&netmap.Err == 0 {
		t.Errorf("%s: poll: %v, %v, want an error event", port.Name(), events, err)
	}
	if err := port.RxSync(); !errors.Is(err, unix.EIO) {
		t.Errorf("%s: rxsync: %v, want EIO", port.Name(), err)
	}
}

// testChange changes the MTU and the number of queues under traffic.
func testChange(t *testing.T, p *pair) {
	for i, w := range p.lab.ways() {
		p.underTraffic(t, i, w, "MTU", func() (undo func(), err error) {
			l := p.a.link(t)
			set := func(mtu int) { p.a.ns.Do(func() { err = netlink.LinkSetMTU(l, mtu) }) }
			set(1400)
			return func() { set(1500) }, err
		})
		if err := p.a.changesQueues(t); err != nil {
			p.note("%s: queues: %v", w.name, err)
			continue
		}
		p.underTraffic(t, i, w, "queues", func() (undo func(), err error) {
			c, err := p.a.channels(t)
			if err != nil {
				return nil, err
			}
			was := c
			c.Combined, c.Rx = max(c.Combined/2, min(c.MaxCombined, 1)),
				max(c.Rx/2, min(c.MaxRx, 1))
			return func() { p.a.setChannels(t, was) }, p.a.setChannels(t, c)
		})
	}
}

// changesQueues returns why the number of queues cannot be changed: the driver cannot, or there is
// only one.
func (s *side) changesQueues(t *testing.T) error {
	c, err := s.channels(t)
	if err != nil {
		return err
	}
	if max(c.MaxCombined, c.MaxRx) <= 1 {
		return errors.New("there is only one")
	}
	return s.setChannels(t, c) // without a change
}

// channels returns the interface's queues.
func (s *side) channels(t *testing.T) (c ethtool.Channels, err error) {
	index := s.link(t).Attrs().Index
	s.ns.Do(func() { c, err = ethtool.AskChannels(index) })
	return c, err
}

func (s *side) setChannels(t *testing.T, c ethtool.Channels) (err error) {
	index := s.link(t).Attrs().Index
	s.ns.Do(func() { err = ethtool.SetChannels(index, c) })
	return err
}

// flowGap is the time between two frames while something changes.
const flowGap = 100 * time.Microsecond

// underTraffic changes something under traffic. The port goes on, or returns EIO and can be opened
// again.
func (p *pair) underTraffic(t *testing.T, i int, w way, what string,
	change func() (func(), error)) {
	t.Helper()
	ways := p.lab.ways()
	a, b := p.a.open(t, w, ""), p.b.open(t, ways[1-i], "")
	p.ready(t)
	ctx, cancel := context.WithCancel(t.Context())
	flowing := make(chan error)
	series := nextSeries()
	start := time.Now()
	go func() {
		flowing <- send(ctx, b, series, 1<<30, func(sent int) bool {
			return sent < int(time.Since(start)/flowGap)
		})
	}()
	sink := newReceiver(series, 1<<20)
	drain := func(d time.Duration) (err error) {
		for end := time.Now().Add(d); time.Now().Before(end); {
			events, e := a.Poll(ctx, netmap.In, 20*time.Millisecond)
			if e != nil || events&netmap.Err != 0 {
				return errors.Join(e, a.RxSync())
			}
			sink.take(a)
		}
		return nil
	}
	drain(200 * time.Millisecond)
	undo, err := change()
	pause := 300 * time.Millisecond
	if err == nil && what == "queues" {
		pause = 1500 * time.Millisecond // netmap looks at queues once a second
	}
	trouble := drain(pause)
	if err == nil {
		undo()
	}
	cancel()
	<-flowing
	p.note("%s, %s: the change returns %v, the port %v", w.name, what, err, trouble)
	if trouble != nil && !errors.Is(trouble, unix.EIO) {
		t.Errorf("%s: %v, want EIO", what, trouble)
	}
	if len(sink.bad) > 0 {
		t.Errorf("%s: %d damaged frames: %v", what, len(sink.bad), sink.bad[:1])
	}
	if trouble != nil {
		a.Close()
		a = p.a.open(t, w, "")
	}
	p.ready(t)
	b.Close()
	b = p.b.open(t, ways[1-i], "")
	p.ready(t)
	p.exchange(t, a, b, 100)
	p.exchange(t, b, a, 100)
	a.Close()
	b.Close()
}
