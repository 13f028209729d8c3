//go:build linux

package nic

import (
	"fmt"
	"math"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// limits are the limits of what may be sent now, as the watcher last saw them.
type limits struct {
	mtu     atomic.Int32
	most    atomic.Uint32 // bytes of the longest frame
	carrier atomic.Bool
	peer    atomic.Uint32 // the same for the other end of a veth pair, 0 for unknown
}

func (l *limits) setMTU(mtu int) {
	l.mtu.Store(int32(mtu))
	l.most.Store(uint32(mtu) + frameOverhead)
}

// longest returns the largest length of a frame. In zero-copy mode the device decides.
func (p *Port) longest(s *xsk.Socket) uint32 {
	if s.ZeroCopy() {
		return math.MaxUint32
	}
	return p.limits.most.Load()
}

// MTU returns the interface's current MTU.
func (p *Port) MTU() int { return int(p.limits.mtu.Load()) }

// cannotSend returns the error for frames that the kernel does not take from its ring. Programs get
// EIO, whatever the kernel returned.
func (p *Port) cannotSend(e error) error {
	why := fmt.Sprintf("the kernel says: %v", e)
	if hint := sendHints[fault.Errno(e)]; hint != "" {
		why += "; " + hint
	}
	return fault.New(syscall.EIO, "send on", p.Title(), "%s", why)
}

var sendHints = fault.Hints{
	syscall.ENETDOWN: "the interface is down: bring it up",
	syscall.ENXIO:    "the queue is gone: open the port again",
	syscall.ENODEV:   "the interface is gone: open the port again when it is back",
	syscall.ENOBUFS:  "there is not enough memory",
	syscall.ENOMEM:   "there is not enough memory",
}

// kick makes the kernel take the frames in its ring. In copy modes it does nothing without a
// carrier: the kernel would drop one frame for each call.
func (x *txSide) kick() (err error) {
	s := x.socket
	for s.TxPending() > 0 && (s.ZeroCopy() || x.port.limits.carrier.Load()) {
		refused, e := s.KickTx()
		if e != nil {
			err = x.port.cannotSend(e)
		}
		if !refused {
			break
		}
		length, again := s.Refused()
		if !x.hopeless(length, again) && s.PutBack() {
			break
		}
		x.ring.Drops.Add(kring.RefusedByDevice, 1)
		x.frames, x.bytes = x.frames-1, x.bytes-uint64(length)
	}
	x.count()
	return err
}

// count counts the frames that the kernel has taken. The retrier offers the rest again.
func (x *txSide) count() {
	var frames, bytes uint64
	if !x.socket.ZeroCopy() && x.socket.TxPending() > 0 {
		frames, bytes = x.socket.TxWaiting()
		x.port.retrier.arm()
	}
	x.ring.Traffic.Add(x.frames-frames, x.bytes-bytes)
	x.frames, x.bytes = frames, bytes
}

// retry is kick for the retrier. It returns the number of slots that still wait and the number that
// have been sent.
func (x *txSide) retry() (left, gone uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.socket == nil || x.socket.ZeroCopy() || x.port.trouble.Load() != nil {
		return 0, 0
	}
	before := x.socket.TxPending()
	x.kick()
	left = x.socket.TxPending()
	return left, before - left
}

// refusal records the frames of a queue that the device refused.
type refusal struct {
	since time.Time // when the frame that is offered again was refused first
	least uint32    // frames of this length or more have been given up
	last  time.Time // when the last of them was given up
}

const (
	// doubt is how long a frame is refused before the watcher looks up again how long frames may be
	// for the other end of a veth pair.
	doubt = time.Millisecond
	// refusalPatience is how long a device may refuse a frame before the frame is dropped, if nothing
	// is known of the device. Frames of that length or more are then dropped at once, until
	// refusalMemory has passed.
	refusalPatience = 100 * time.Millisecond
	refusalMemory   = time.Second
)

// hopeless reports whether a frame that the device has just refused can never be sent. The kernel
// does not report whether the device was only full. A veth pair refuses frames that are too long
// for its other end; a TAP refuses none for their length.
func (x *txSide) hopeless(length uint32, again bool) bool {
	now, f, p := time.Now(), &x.refusal, x.port
	if !again {
		f.since = now
	}
	waited := now.Sub(f.since)
	switch peer := p.limits.peer.Load(); {
	case length > p.limits.most.Load()+vlanTag: // the MTU was lowered since
		return true
	case !p.limits.carrier.Load() || p.link.facts.Driver == "tun":
		return false
	case peer > 0:
		if waited > doubt {
			p.watch.askPeer()
		}
		return length > peer
	}
	known := now.Sub(f.last) < refusalMemory
	if waited < refusalPatience && !(known && length >= f.least) {
		return false
	}
	if !known || length < f.least {
		f.least = length
	}
	f.last = now
	return true
}
