package vale

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// batch bounds the slots that are looked up before anything is delivered.
const batch = 1024

// Where a packet goes, when not to a port by its index.
const (
	toAll    = MaxPorts + iota // broadcast
	toNobody                   // drop
	targets
)

const (
	none      = batch // ends a list of packets
	etherHead = 14
)

// packet is a packet of the batch being forwarded: count slots from first on. next chains those with one target.
type packet struct {
	first, count uint16 // in sender.words
	next         uint16
}

// list is the packets of a batch that have one target, in the order in which they were sent.
type list struct{ head, tail uint16 }

// sender is a tx ring's side of the switch: what it needs to forward a batch, allocated once.
type sender struct {
	port    *Port
	ring    *kring.Ring
	bufs    *shm.Bufs
	lastSrc uint64 // address that was learned last
	lastDst uint64 // and looked up last, with the answer; within one sync
	lastTo  int

	words   [batch]abi.SlotWord // the slots of the batch, as they were checked
	packets [batch]packet
	count   uint32 // packets in it
	lists   [targets]list
	busy    [targets]uint16 // targets that have a list
	used    uint32
	drops   [kring.LinkError + 1]uint64 // of this sync
}

func (s *sender) prepare(r *kring.Ring) {
	s.ring, s.bufs, s.lastSrc = r, r.Bufs(), 0
	for i := range s.lists {
		s.lists[i].head = none
	}
}

// sync forwards everything up to head. All slots but one are free afterwards.
func (s *sender) sync(r *kring.Ring) error {
	if k, head := r.HwCur.Load(), r.Head(); k != head {
		s.lastTo, s.lastDst = toNobody, ^uint64(0)
		ports := *s.port.sw.ports.Load()
		for k != head {
			k = s.collect(k, head, len(ports))
			s.deliver(ports)
		}
		s.countDrops()
		r.HwCur.Store(head)
	}
	if free := (r.Head() + r.N - 1) % r.N; free != r.HwTail.Load() {
		r.HwTail.Store(free)
	}
	return nil
}

// collect takes slots from k on, up to head or a full batch, and puts each packet on the list of its target. It returns
// the first slot it did not take.
func (s *sender) collect(k, head uint32, ports int) uint32 {
	slots := s.ring.Slots()[:s.ring.N]
	size := s.bufs.Size()
	s.count = 0
	n, first := uint32(0), uint32(0) // slots taken; where the packet being put together starts
	bad := noReason
	for k != head && n < batch {
		w := slots[k].Word()
		s.words[n%batch] = w
		n++
		if !s.bufs.Valid(w.BufIdx()) {
			bad = kring.BadBuffer
		} else if uint32(w.Len()) > size {
			bad = kring.BadLength
		}
		more := w.Flags()&abi.NSMoreFrag != 0
		next := s.ring.Next(k)
		if more && next != head {
			if n == batch && first > 0 {
				return s.back(k, n-first-1) // the whole packet goes into the next batch
			}
			k = next
			continue
		}
		k = next
		s.route(first, n-first, bad, ports)
		first, bad = n, noReason
	}
	if first < n { // one packet fills the batch
		s.drops[kring.TooManyFrags]++
	}
	return k
}

// noReason stands for a packet without fault.
const noReason = kring.Reason(-1)

// back is the index steps before k.
func (s *sender) back(k, steps uint32) uint32 { return (k + s.ring.N - steps) % s.ring.N }

// route puts the packet of count slots at first on the list of its target, or counts its loss.
func (s *sender) route(first, count uint32, bad kring.Reason, ports int) {
	w := s.words[first%batch]
	switch {
	case bad != noReason:
	case w.Len() < etherHead:
		bad = kring.TooShort
	case count > abi.MaxFrags:
		bad = kring.TooManyFrags
	}
	if bad != noReason {
		s.drops[bad]++
		return
	}
	to := s.target(w.BufIdx())
	if to == s.port.index || to < MaxPorts && to >= ports {
		s.drops[kring.NoReceiver]++
		return
	}
	i := uint16(s.count)
	s.count++
	s.packets[i%batch] = packet{uint16(first), uint16(count), none}
	l := &s.lists[to]
	if l.head == none {
		l.head = i
		s.busy[s.used] = uint16(to)
		s.used++
	} else {
		s.packets[l.tail%batch].next = i
	}
	l.tail = i
}

// target learns the sender of the frame in buffer i and looks its receiver up.
func (s *sender) target(i uint32) int {
	lo, hi := s.bufs.Head(i)
	dst, src := lo&macMask, lo>>48|hi<<16&macMask
	if src != s.lastSrc && src&multicast == 0 {
		s.port.sw.table.learn(src, s.port.index)
		s.lastSrc = src
	}
	if dst == s.lastDst {
		return s.lastTo
	}
	to := toAll
	if dst&multicast == 0 {
		if p, ok := s.port.sw.table.find(dst); ok {
			to = p
		}
	}
	s.lastDst, s.lastTo = dst, to
	return to
}

// deliver empties all lists. Broadcast frames go to every port's ring 0, in between that port's own ones, in the order
// in which they were sent.
func (s *sender) deliver(ports []*Port) {
	all := s.lists[toAll].head
	if all != none {
		sent := false
		for i, p := range ports {
			if p == nil || i == s.port.index {
				continue
			}
			sent = true
			own := s.lists[i].head
			if in := p.inboxFor(s.ring.ID); in != p.inboxes[0] {
				in.put(s, own, none)
				own = none
			}
			p.inboxes[0].put(s, own, all)
			s.lists[i].head = none
		}
		if !sent {
			s.drops[kring.NoReceiver] += s.length(all)
		}
	}
	for _, to := range s.busy[:s.used] {
		l := &s.lists[to]
		if to < MaxPorts && l.head != none {
			if p := ports[to]; p != nil {
				p.inboxFor(s.ring.ID).put(s, l.head, none)
			} else {
				s.drops[kring.NoReceiver] += s.length(l.head)
			}
		}
		l.head = none
	}
	s.used = 0
}

// inboxFor is where packets from a sender's ring arrive that are for this port alone.
func (p *Port) inboxFor(ring uint16) *inbox { return p.inboxes[int(ring)%len(p.inboxes)] }

// length counts the packets of a list.
func (s *sender) length(i uint16) (n uint64) {
	for ; i != none; i = s.packets[i%batch].next {
		n++
	}
	return n
}

func (s *sender) countDrops() {
	for why := range s.drops {
		if n := s.drops[why]; n > 0 {
			s.ring.Drops.Add(kring.Reason(why), n)
			s.drops[why] = 0
		}
	}
}

// put copies the packets of two lists, merged in the order in which they were sent, into the ring. What does not fit is
// lost and counted here, at the receiver.
func (in *inbox) put(s *sender, a, b uint16) {
	if a == none && b == none {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	r := in.ring
	if !in.open {
		r.Drops.Add(kring.NotOpen, s.length(a)+s.length(b))
		return
	}
	tail := r.HwTail.Load()
	room := r.N - 1 - r.Dist(r.HwCur.Load(), tail)
	lost := uint64(0)
	for a != none || b != none {
		i := min(a, b) // none is larger than any
		p := s.packets[i%batch]
		if i == a {
			a = p.next
		} else {
			b = p.next
		}
		if uint32(p.count) > room {
			lost++
			continue
		}
		room -= uint32(p.count)
		tail = in.copyIn(s, p, tail)
	}
	if lost > 0 {
		r.Drops.Add(kring.NoRoom, lost)
	}
	if tail != r.HwTail.Load() {
		r.HwTail.Store(tail)
		r.Waiters.Wake()
	}
}

// copyIn copies a packet into the slots from tail on and returns the index after them. A slot in which the receiver left
// no buffer takes the fragment's length to 0: there is nowhere to put it.
func (in *inbox) copyIn(s *sender, p packet, tail uint32) uint32 {
	r := in.ring
	slots := r.Slots()
	flags := p.count << abi.NSPortShift
	for n := uint32(0); n < uint32(p.count); n++ {
		w := s.words[(uint32(p.first)+n)%batch]
		slot := &slots[tail]
		dst, length := slot.Word().BufIdx(), w.Len()
		if s.bufs.Valid(dst) {
			s.bufs.Copy(dst, w.BufIdx(), uint32(length))
		} else {
			dst, length = 0, 0
		}
		f := flags
		if n+1 < uint32(p.count) {
			f |= abi.NSMoreFrag
		}
		slot.SetWord(abi.MakeSlotWord(dst, length, f))
		tail = r.Next(tail)
	}
	return tail
}
