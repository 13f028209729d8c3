// Package pipe is a pair of ports: what one sends the other receives, without a copy.
//
//	master                      slave
//	 TX0  slot k  --- copied ---> RX0 slot k       at the master's txsync
//	 TX0  slot k  <-- copied back  RX0 slot k      when the slave releases the slot, at its rxsync
//	 RX0  slot k  <------------   TX0 slot k       the other way alike
//
// The two rings of a direction run in step: slot k of one names the same buffer as slot k of the
// other, so only tx rings own buffers. Both ends live as long as either is in use; an end that
// nobody has open keeps what was sent to it.
package pipe

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// Limits of a pipe end.
const (
	MaxRings = 256
	MaxSlots = 4096
)

// Pipe is both ends.
type Pipe struct {
	Master, Slave *End

	region *mem.Region
	mu     sync.Mutex
	lanes  []*lane
	users  int // rings in use, of both ends
}

var _ port.Port = (*End)(nil)

// End is one port of a pipe.
type End struct {
	pipe  *Pipe
	rings [2][]*kring.Ring
}

// lane is one direction of one ring pair.
type lane struct {
	tx, rx *kring.Ring

	// sent is the tail that the receiver will see at its next sync, written by the sender's; free the
	// sender's next tail, written by the receiver's.
	sent, free atomic.Uint32
}

// New makes a pipe whose master has these rings and slots; the slave mirrors them.
func New(region *mem.Region, master, slave string, shape port.Shape) *Pipe {
	p := &Pipe{region: region}
	p.Master, p.Slave = &End{pipe: p}, &End{pipe: p}
	for i := range shape.TxRings {
		p.addLane(p.Master, p.Slave, master, slave, i, shape.TxSlots)
	}
	for i := range shape.RxRings {
		p.addLane(p.Slave, p.Master, slave, master, i, shape.RxSlots)
	}
	return p
}

func (p *Pipe) addLane(from, to *End, fromName, toName string, id uint16, slots uint32) {
	l := &lane{}
	l.tx = kring.New(fmt.Sprintf("%s TX%d", fromName, id), abi.DirTx, id, slots, l.txSync)
	l.rx = kring.New(fmt.Sprintf("%s RX%d", toName, id), abi.DirRx, id, slots, l.rxSync)
	l.rx.Traffic = l.tx.Traffic
	from.rings[abi.DirTx] = append(from.rings[abi.DirTx], l.tx)
	to.rings[abi.DirRx] = append(to.rings[abi.DirRx], l.rx)
	p.lanes = append(p.lanes, l)
}

// txSync passes the slots up to head on, complete packets only, and takes back those that the
// receiver released.
func (l *lane) txSync(tx *kring.Ring, _ kring.Memory) error {
	if k, head := tx.HwCur.Load(), tx.Head(); k != head {
		l.pass(tx, k, head)
	}
	if free := l.free.Load(); free != tx.HwTail.Load() {
		tx.HwTail.Store(free)
	}
	return nil
}

func (l *lane) pass(tx *kring.Ring, k, head uint32) {
	old := l.sent.Load()
	sent := old
	var passed traffic
	offsets := tx.HasOffsets() || l.rx.HasOffsets()
	for k != head {
		end := tx.Run(k, head)
		if offsets {
			l.agree(k, end)
		}
		if n := copySlots(l.rx.Slots()[k:end], tx.Slots()[k:end], &passed); n > 0 {
			sent = k + n
		}
		k = end % tx.N
	}
	tx.HwCur.Store(head)
	tx.Traffic.Add(passed.frames, passed.bytes)
	if sent %= tx.N; sent != old {
		l.sent.Store(sent)
		l.rx.Waiters.Wake()
	}
}

// rxSync gives the slots up to head back to the sender, with whatever buffers the program left in
// them, and takes in what the sender passed on.
func (l *lane) rxSync(rx *kring.Ring, _ kring.Memory) error {
	if k, head := rx.HwCur.Load(), rx.Head(); k != head {
		var back traffic // was counted when it was sent
		for k != head {
			end := rx.Run(k, head)
			copySlots(l.tx.Slots()[k:end], rx.Slots()[k:end], &back)
			if l.tx.HasOffsets() {
				l.limit(k, end)
			}
			k = end % rx.N
		}
		rx.HwCur.Store(head)
		l.free.Store((head + rx.N - 1) % rx.N)
		l.tx.Waiters.Wake()
	}
	if sent := l.sent.Load(); sent != rx.HwTail.Load() {
		rx.HwTail.Store(sent)
	}
	return nil
}

// agree has the frames in slots from k up to end start where the receiver will look for them: where
// it wants them at least, or farther on if the sender put them there. A frame that starts elsewhere
// is moved, in its buffer.
func (l *lane) agree(k, end uint32) {
	bufs := l.tx.Bufs()
	for ; k < end; k++ {
		tx, rx := l.tx.Slot(k), l.rx.Slot(k)
		w, from := tx.Word(), l.tx.OffsetOf(tx)
		n := min(uint32(w.Len()), bufs.Size()-from)
		to := min(max(from, l.rx.OffsetOf(rx)), l.rx.Offsets().Max, bufs.Size()-n)
		if to != from {
			b := bufs.Bytes(w.BufIdx())
			copy(b[to:], b[from:from+n])
		}
		l.rx.SetOffset(tx, to) // goes along with the slot
		l.tx.SetOffset(tx, to)
	}
}

// limit has the slots from k up to end, which the receiver released, start where the sender may
// have its frames: a program writes where its slot says, and the receiver's frames may start
// farther on.
func (l *lane) limit(k, end uint32) {
	for ; k < end; k++ {
		tx := l.tx.Slot(k)
		l.tx.SetOffset(tx, l.tx.OffsetOf(tx))
	}
}

// special are the flags that make a slot need a second look.
const special = abi.SlotWord(abi.NSBufChanged|abi.NSMoreFrag) << 48

// length is where a slot's word has it. Those of a whole ring can be added up in place.
const length = abi.SlotWord(0xffff) << 32

// traffic is what slots hold that were passed on.
type traffic struct{ frames, bytes uint64 }

// copySlots passes slots on, with a change of buffers noted on the receiving side only, and counts
// them. It returns how many of them make complete packets.
func copySlots(dst, src []abi.Slot, t *traffic) (complete uint32) {
	dst = dst[:len(src)]
	for i := 0; i < len(src); {
		if n, bytes := copyPlain(dst[i:], src[i:]); n > 0 {
			t.frames += uint64(n)
			t.bytes += bytes
			i += n
			complete = uint32(i)
			continue
		}
		length, whole := copyOne(&dst[i], &src[i])
		t.bytes += uint64(length)
		if i++; whole {
			t.frames++
			complete = uint32(i)
		}
	}
	return complete
}

// copyPlain passes slots on as long as there is nothing special about them, as nearly always, four
// at a time. It returns how many, and the sum of their lengths.
func copyPlain(dst, src []abi.Slot) (n int, bytes uint64) {
	dst = dst[:len(src)]
	lengths := uint64(0)
	for n+4 <= len(src) {
		s, d := src[n:n+4:n+4], dst[n:n+4:n+4]
		w0, w1, w2, w3 := s[0].Word(), s[1].Word(), s[2].Word(), s[3].Word()
		if (w0|w1|w2|w3)&special != 0 {
			break
		}
		d[0].Ptr, d[1].Ptr, d[2].Ptr, d[3].Ptr = s[0].Ptr, s[1].Ptr, s[2].Ptr, s[3].Ptr
		d[0].SetWord(w0)
		d[1].SetWord(w1)
		d[2].SetWord(w2)
		d[3].SetWord(w3)
		lengths += uint64(w0&length) + uint64(w1&length) + uint64(w2&length) + uint64(w3&length)
		n += 4
	}
	return n, lengths >> 32
}

// copyOne passes a slot on, and says whether a packet ends in it.
func copyOne(d, s *abi.Slot) (length uint16, whole bool) {
	w := s.Word()
	d.Ptr = s.Ptr
	d.SetWord(w)
	if w.Flags()&abi.NSBufChanged != 0 {
		s.Flags = w.Flags() &^ abi.NSBufChanged
	}
	return w.Len(), w.Flags()&abi.NSMoreFrag == 0
}

// Peer is the other end.
func (e *End) Peer() *End {
	if e == e.pipe.Master {
		return e.pipe.Slave
	}
	return e.pipe.Master
}

// Rings are the rings of a direction.
func (e *End) Rings(dir kring.Dir) []*kring.Ring { return e.rings[dir] }

// Start brings a ring into use. The first one allocates the rings of both ends.
func (e *End) Start(r *kring.Ring) error {
	p := e.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == 0 {
		defer p.holdOthers(r)()
		if err := p.alloc(); err != nil {
			p.free()
			return err
		}
	}
	p.users++
	return nil
}

// Stop takes a ring out of use. The last one frees the rings of both ends and all buffers.
func (e *End) Stop(r *kring.Ring) {
	p := e.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 {
		defer p.holdOthers(r)()
		p.free()
	}
}

// holdOthers takes all rings but held, which the caller has already, until the returned function is
// called. Nobody has them bound any more, but somebody may have begun a sync just before he closed.
func (p *Pipe) holdOthers(held *kring.Ring) (drop func()) {
	var others []*kring.Ring
	for _, l := range p.lanes {
		for _, r := range []*kring.Ring{l.tx, l.rx} {
			if r != held {
				r.Hold()
				others = append(others, r)
			}
		}
	}
	return func() {
		for _, r := range others {
			r.Drop()
		}
	}
}

// Close has nothing left to do.
func (e *End) Close() error { return nil }

func (p *Pipe) alloc() error {
	for _, l := range p.lanes {
		if err := l.tx.Alloc(p.region, true); err != nil {
			return err
		}
		if err := l.rx.Alloc(p.region, false); err != nil {
			return err
		}
		copy(l.rx.Slots(), l.tx.Slots()) // a program may look at all slots, also before they are its own
		l.sent.Store(0)
		l.free.Store(l.tx.N - 1)
	}
	return nil
}

func (p *Pipe) free() {
	for _, l := range p.lanes {
		if l.rx.Mapped() {
			// What the receiver holds may have changed buffers: its slots know better.
			for k := l.rx.HwCur.Load(); k != l.tx.HwCur.Load(); k = l.rx.Next(k) {
				l.tx.Slot(k).SetWord(l.rx.Slot(k).Word())
			}
			l.rx.Free(0, 0)
		}
		l.tx.Free(0, l.tx.N)
	}
}
