//go:build linux || freebsd

// Package csb is the program's side of a sync loop: a transport whose syncs are loads and stores. A
// ring's head and cur are copied into the ring's entry of one array; its tail comes from the entry
// of another array:
//
//	program           this package                          loop
//	ring.Head, Cur -> Atok: cur, then head ------- kick --> syncs
//	ring.Tail      <- Ktoa: hwtail        <------- kick --- publishes
//
// Each side wakes the other side only if it sleeps.
package csb

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// Events of poll(2).
const (
	pollIn  = 0x0001
	pollOut = 0x0004
	pollErr = 0x0008
)

// Binding is a port in CSB mode.
type Binding interface {
	Register() abi.Register
	Memory() []byte
	MaxOffset() int
	Close() error
}

// Loop is the other side: what syncs the rings.
type Loop interface {
	// Kick wakes the loop.
	Kick()
	// Sleep returns when the loop has kicked the program, when Wake is called or was called before,
	// or when the time is over. A negative time means no limit.
	Sleep(time.Duration)
	// Wake ends Sleep.
	Wake()
	// Err is the reason why the loop has ended, nil while it runs. A loop that ends by itself wakes
	// the program.
	Err() error
	// Close ends the loop and waits until it has ended.
	Close()
}

// Rings finds the bound rings in the memory of a port. Their entries are in the same order: tx
// rings first. EPROTO if the memory has invalid content.
func Rings(name string, b Binding) (tx, rx []*abi.Ring, err error) {
	defer func() {
		if r := recover(); r != nil { // a view outside the memory
			err = fault.New(syscall.EPROTO, "open", name,
				"the framework's answer is invalid: %v", r)
		}
	}()
	atTx, atRx := shm.Rings(b.Memory(), b.Register().Offset)
	for _, at := range atTx {
		tx = append(tx, shm.At[abi.Ring](b.Memory(), at))
	}
	for _, at := range atRx {
		rx = append(rx, shm.At[abi.Ring](b.Memory(), at))
	}
	return tx, rx, nil
}

// Port is a port whose rings a loop syncs. It implements netmap.Transport.
type Port struct {
	binding Binding
	name    string
	loop    Loop
	tx, rx  []ring
	spin    time.Duration
	noTx    bool // (NR_NO_TX_POLL)

	use    sync.RWMutex // held for reading while the memory is used
	closed atomic.Bool
}

// ring is a bound ring and its entries.
type ring struct {
	*abi.Ring
	n         uint32
	atok      *abi.CSBAtok
	ktoa      *abi.CSBKtoa
	head, cur uint32 // last values passed to the loop
}

// New returns the port whose rings have these entries, tx rings first. Wait polls for the time spin
// before it sleeps.
func New(name string, b Binding, tx, rx []*abi.Ring, atok []abi.CSBAtok, ktoa []abi.CSBKtoa,
	loop Loop, spin time.Duration) *Port {
	p := &Port{binding: b, name: name, loop: loop, spin: spin,
		noTx: b.Register().Flags&abi.NRNoTxPoll != 0}
	p.tx = join(tx, atok, ktoa)
	p.rx = join(rx, atok[len(tx):], ktoa[len(tx):])
	return p
}

// Unwrap returns the binding.
func (p *Port) Unwrap() any { return p.binding }

func join(rings []*abi.Ring, atok []abi.CSBAtok, ktoa []abi.CSBKtoa) []ring {
	var all []ring
	for i, g := range rings {
		r := ring{Ring: g, n: g.NumSlots, atok: &atok[i], ktoa: &ktoa[i]}
		r.head, r.cur = r.atok.Head.Load(), r.atok.Cur.Load()
		r.atok.ApplNeedKick.Store(0)
		all = append(all, r)
	}
	return all
}

// Register returns the binding's registration.
func (p *Port) Register() abi.Register { return p.binding.Register() }

// Memory returns the binding's memory.
func (p *Port) Memory() []byte { return p.binding.Memory() }

// MaxOffset is the largest offset in bytes of frames in their buffers.
func (p *Port) MaxOffset() int { return p.binding.MaxOffset() }

// TxSync passes head and cur of the tx rings to the loop, and takes over the tails that the loop
// has published.
func (p *Port) TxSync() error { return p.sync("txsync", p.tx) }

// RxSync is TxSync for rx rings.
func (p *Port) RxSync() error { return p.sync("rxsync", p.rx) }

func (p *Port) sync(op string, rings []ring) error {
	p.use.RLock()
	defer p.use.RUnlock()
	if p.closed.Load() {
		return fault.New(syscall.ENXIO, op, p.name, "the port is closed")
	}
	if err := p.loop.Err(); err != nil {
		return fault.Wrap(err, op, p.name, "the port's loop has ended")
	}
	p.exchange(rings)
	return nil
}

// exchange passes heads on and takes tails over. It reports whether a ring is ready, and whether
// one is invalid.
func (p *Port) exchange(rings []ring) (ready, bad bool) {
	kick := false
	for i := range rings {
		r := &rings[i]
		k, ok := r.pass()
		kick, bad = kick || k, bad || !ok
	}
	if kick {
		p.loop.Kick()
	}
	for i := range rings {
		r := &rings[i]
		tail := r.ktoa.HwTail.Load()
		if tail != r.Tail.Load() {
			r.Tail.Store(tail)
		}
		ready = ready || r.cur != tail
	}
	return ready, bad
}

// pass passes head and cur on if they are valid, which ok reports. kick reports whether the loop
// wants to be kicked.
func (r *ring) pass() (kick, ok bool) {
	head, cur := r.Head.Load(), r.Cur.Load()
	if head == r.head && cur == r.cur {
		return false, true
	}
	tail := r.Tail.Load()
	if head >= r.n || cur >= r.n || tail >= r.n || r.dist(r.head, head) > r.dist(r.head, tail) ||
		r.dist(head, cur) > r.dist(head, tail) {
		return false, false
	}
	r.head, r.cur = head, cur
	r.atok.Cur.Store(cur)
	r.atok.Head.Store(head) // after cur: the loop reads head first
	return r.ktoa.KernNeedKick.Load() != 0, true
}

func (r *ring) dist(a, b uint32) uint32 {
	if b >= a {
		return b - a
	}
	return b + r.n - a
}

// Wait is poll(2) with the port's events.
func (p *Port) Wait(ctx context.Context, events int16, timeout time.Duration) (int16, error) {
	p.use.RLock()
	defer p.use.RUnlock()
	if ready := p.poll(events); ready != 0 || timeout == 0 {
		return ready, nil
	}
	deadline := time.Now().Add(timeout)
	if ready := p.spinFor(events, timeout); ready != 0 {
		return ready, nil
	}
	defer wake.On(ctx, p.loop)()
	p.setKick(events, 1)
	defer p.setKick(events, 0)
	for {
		if ready := p.poll(events); ready != 0 {
			return ready, nil
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		left := time.Duration(-1)
		if timeout > 0 {
			if left = time.Until(deadline); left <= 0 {
				return 0, nil
			}
		}
		p.loop.Sleep(left)
	}
}

// poll is poll(2) without sleeping.
func (p *Port) poll(events int16) (ready int16) {
	if p.closed.Load() || p.loop.Err() != nil {
		return pollErr
	}
	if !p.noTx || events&pollOut != 0 {
		room, bad := p.exchange(p.tx)
		if room {
			ready |= events & pollOut
		}
		if bad {
			ready |= pollErr
		}
	}
	if events&pollIn != 0 {
		frames, bad := p.exchange(p.rx)
		if frames {
			ready |= pollIn
		}
		if bad {
			ready |= pollErr
		}
	}
	return ready
}

// spinFor polls for a short time. It lets other goroutines run, since the loop may be one of them.
func (p *Port) spinFor(events int16, timeout time.Duration) int16 {
	d := p.spin
	if timeout > 0 {
		d = min(d, timeout)
	}
	if d <= 0 {
		return 0
	}
	for end := time.Now().Add(d); time.Now().Before(end); runtime.Gosched() {
		if ready := p.poll(events); ready != 0 {
			return ready
		}
	}
	return 0
}

// setKick tells the loop whether to kick the program when one of the events occurs.
func (p *Port) setKick(events int16, on uint32) {
	if events&pollOut != 0 {
		for i := range p.tx {
			p.tx[i].atok.ApplNeedKick.Store(on)
		}
	}
	if events&pollIn != 0 {
		for i := range p.rx {
			p.rx[i].atok.ApplNeedKick.Store(on)
		}
	}
}

// Close ends the loop and closes the binding. A Wait in progress returns POLLERR.
func (p *Port) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	p.loop.Wake()
	p.use.Lock()
	defer p.use.Unlock()
	p.loop.Close()
	return p.binding.Close()
}
