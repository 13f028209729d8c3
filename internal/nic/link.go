//go:build linux

package nic

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/ns"
	"github.com/seed-48afdc40/netmap/internal/takeover"
)

// linkInfo describes the interface of a port.
type linkInfo struct {
	index, mtu int
	queues     ethtool.Queues // while it is in use
	kilobytes  bool           // zero-copy mode cuts frames that do not fit into a buffer's whole KiB
	forgets    bool           // the driver loses the XDP program when it stops the interface
	segments   int            // largest number of buffers of a packet

	facts *nicfacts.Facts   // when it was looked up
	wish  *ethtool.Channels // its channels while it is in use, nil to keep them
}

// wishChannels is a variable for tests: no interface that they can make has a driver with wishes.
var wishChannels = takeover.WishChannels

// forgetful is the driver that loses XDP programs (vmxnet3_rq_cleanup_all); a variable for tests.
var forgetful = "vmxnet3"

// findLink looks up an interface of the calling thread's network namespace. ENXIO if it does not
// exist.
func findLink(name string) (linkInfo, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		var none netlink.LinkNotFoundError
		if errors.As(err, &none) {
			return linkInfo{}, fault.New(syscall.ENXIO, "open", name,
				"there is no such interface in this network namespace; 'netmap info' lists those there are")
		}
		return linkInfo{}, fault.Wrap(err, "look up interface", name, "")
	}
	return describe(nicfacts.Ask(l))
}

// maxQueues is the largest number of queues of a port: ring numbers have 16 bits, and host rings
// are numbered after the others.
const maxQueues = 1 << 15

// describe derives the properties of a port from the facts. EINVAL if the interface cannot be a
// port.
func describe(f *nicfacts.Facts) (linkInfo, error) {
	info := linkInfo{
		index: f.Index, mtu: f.MTU, queues: f.Queues(), facts: f,
		// The buffer size in SRRCTL.BSIZEPKT of 82576 and 82599 is in KiB.
		kilobytes: f.Driver == "igb" || f.Driver == "ixgbe",
		forgets:   f.Driver == forgetful,
	}
	if f.XDP != nil {
		info.segments = f.XDP.Segments
	}
	if f.Channels != nil {
		if info.wish = wishChannels(f.Driver, *f.Channels); info.wish != nil {
			w := info.wish
			info.queues = ethtool.Queues{Rx: max(w.Rx+w.Combined, 1), Tx: max(w.Tx+w.Combined, 1)}
		}
	}
	if n := max(info.queues.Rx, info.queues.Tx); n > maxQueues {
		return linkInfo{}, fault.New(syscall.EINVAL, "open", f.Name,
			"it has %d queues, and a port at most %d; "+
				"use fewer: 'ethtool -L %[3]s combined %[2]d'", n, maxQueues, f.Name)
	}
	return info, nil
}

// watcher notices when the interface goes down, comes up, vanishes or changes its queues. The
// kernel reports the first three; the watcher looks up the last regularly.
type watcher struct {
	port    *Port
	ns      netns.NsHandle
	updates chan netlink.LinkUpdate
	done    chan struct{}
	asked   chan struct{} // a request to look up the MTU of a veth pair's other end
	looked  time.Time     // when that MTU was looked up last
	over    bool          // the port has failed for good
	name    string        // of the interface, in the last event
	ended   sync.WaitGroup
}

// queuePatience is how often the number of queues is looked up.
const queuePatience = time.Second

// watch starts a watcher of the interface in the calling thread's network namespace.
func watch(p *Port) (*watcher, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	if err != nil {
		return nil, fault.Wrap(err, "watch", p.Title(), "")
	}
	w := &watcher{port: p, name: p.name, ns: here, updates: make(chan netlink.LinkUpdate, 16),
		done: make(chan struct{}), asked: make(chan struct{}, 1)}
	lost := func(error) {} // the channel closes
	options := netlink.LinkSubscribeOptions{ErrorCallback: lost}
	if err := netlink.LinkSubscribeWithOptions(w.updates, w.done, options); err != nil {
		here.Close()
		return nil, fault.Wrap(err, "watch", p.Title(), "")
	}
	if l, err := netlink.LinkByIndex(p.link.index); err == nil {
		w.see(l.Attrs())
	}
	w.lookUpPeer()
	w.ended.Add(1)
	go w.run()
	return w, nil
}

func (w *watcher) close() {
	close(w.done)
	for range w.updates { // the library's goroutine closes the channel when it ends
	}
	w.ended.Wait()
	w.ns.Close()
}

func (w *watcher) run() {
	defer w.ended.Done()
	tick := time.NewTicker(queuePatience)
	defer tick.Stop()
	for !w.over {
		select {
		case <-w.done:
			return
		case u, ok := <-w.updates:
			switch {
			case !ok:
				return
			case int(u.Index) != w.port.link.index:
			case u.Header.Type == unix.RTM_DELLINK:
				w.gone("the interface is gone; open the port again when it is back")
			default:
				w.named(u.Attrs().Name)
				w.see(u.Link.Attrs())
			}
		case <-w.asked:
			if time.Since(w.looked) > peerPatience {
				w.lookUpPeer()
			}
		case <-tick.C:
			w.inQueues()
			w.lookUpPeer()
		}
	}
}

// named records the interface's current name.
func (w *watcher) named(name string) {
	if was := w.name; name != was {
		w.name = name
		w.port.report(event.Event{Kind: event.Renamed, Was: was})
		w.port.tellFollower()
	}
}

// see records the interface's flags and MTU. Any link event may hide a stop and start, after which
// vmxnet3 has lost the program.
func (w *watcher) see(a *netlink.LinkAttrs) {
	w.port.limits.carrier.Store(a.RawFlags&unix.IFF_LOWER_UP != 0)
	if a.MTU > 0 && a.MTU != w.port.MTU() {
		w.port.limits.setMTU(a.MTU)
		w.port.report(event.Event{Kind: event.NewMTU, MTU: a.MTU})
	}
	up, was := a.RawFlags&unix.IFF_UP != 0, w.port.trouble.Load() == nil
	if up && w.port.link.forgets {
		if err := w.port.renew(); err != nil {
			w.gone(fmt.Sprintf("its driver has lost the XDP program, and does not take it again: %v; "+
				"open the port again", err))
			return
		}
	}
	switch {
	case up && !was:
		w.port.fail(event.Up, nil)
	case !up && was:
		w.port.fail(event.Down, fault.New(syscall.EIO, "use", w.port.Title(),
			"the interface is down; 'ip link set dev %s up'", w.port.Title()))
	}
}

// inQueues ends the port if the interface has other queues than when it was opened: rings and
// queues no longer match.
func (w *watcher) inQueues() {
	l := &w.port.link
	now := *l.facts
	err := w.inNamespace(func() error {
		now.AskQueues()
		return nil
	})
	if err == nil && l.changed(&now) {
		w.gone("the interface has changed its queues; open the port again")
	}
}

// changed reports whether the interface's queues differ from the port's. While the interface is
// down the kernel does not report them.
func (l *linkInfo) changed(now *nicfacts.Facts) bool {
	if l.wish != nil { // the channels of wish are set only while the interface is in use
		return now.Channels != nil && *now.Channels != *l.facts.Channels && *now.Channels != *l.wish
	}
	if now.InUse == (ethtool.Queues{}) {
		now.InUse = l.facts.InUse
	}
	return now.Queues() != l.queues
}

// gone ends the port for good.
func (w *watcher) gone(why string) {
	w.over = true
	w.port.fail(event.Gone, fault.New(syscall.EIO, "use", w.port.Title(), "%s", why))
}

// inNamespace calls f in the network namespace of the interface.
func (w *watcher) inNamespace(f func() error) error { return ns.Do(w.ns, w.port.Title(), f) }
