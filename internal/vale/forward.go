package vale

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// batch bounds the slots that are looked up before anything is delivered.
const batch = 1024

// Targets that are not the index of a port.
const (
	toAll = MaxPorts + iota // broadcast
	targets

	unknown = -1
)

const (
	none      = batch // ends a list of runs
	etherHead = 14

	special = abi.NSMoreFrag | abi.NSIndirect // flags of slots that are not a packet as they are

	moreBit    = 48 + 5       // of a slot's word: NSMoreFrag
	lengthBits = 0xffff << 32 // of a slot's word; the lengths of a batch can be added in place
)

// run is consecutive packets of the batch that have one target: the slots from first up to end.
// next chains the runs with one target.
type run struct {
	first, end uint16 // in sender.words
	next       uint16
}

// list has the runs of a batch that have one target, in the order in which they were sent.
type list struct{ head, tail uint16 }

// sender forwards the batches of a tx ring. Its memory is allocated once.
type sender struct {
	port *Port
	ring *kring.Ring
	bufs shm.Bufs

	at      *place // where the port was when the sync began
	header  uint32 // of the port's frames when the sync began
	offsets bool   // frames may start inside their buffers
	odd     bool   // there are headers or offsets
	flat    []byte // room for a packet; nil if the port never had headers

	// the addresses of the last packet and its target: the next packet usually has the same
	lastLo uint64
	lastHi uint32
	lastTo int

	words  [batch]abi.SlotWord // the slots of the batch, read once
	starts [batch]uint32       // where frames start in their buffers, with offsets
	start  uint32              // the slot of the first word
	cut    bool                // the batch starts inside a packet that is too long and was dropped
	runs   [batch]run
	count  uint32 // of runs
	lists  [targets]list
	busy   [targets]uint16 // targets that have a list
	used   uint32
	drops  [kring.Reasons]uint64 // of this sync

	// of this sync: all slots, those with NS_MOREFRAG, and the sum of lengths
	slots, more, bytes uint64

	program kring.Memory          // the memory of the program that syncs
	scanned bool                  // the batch has been looked through for slots with NS_INDIRECT
	pieces  [together]kring.Piece // of the program's memory, to fetch
	fetched [together]uint16      // the words of these pieces
}

func (s *sender) prepare(r *kring.Ring) {
	s.ring, s.bufs = r, r.Bufs()
	for i := range s.lists {
		s.lists[i].head = none
	}
}

// sync forwards everything up to head. All slots but one are free afterwards.
func (s *sender) sync(r *kring.Ring, program kring.Memory) error {
	s.program = program
	if k, head := r.HwCur.Load(), r.Head(); k != head {
		s.forward(k, head)
		r.HwCur.Store(head)
	}
	if free := (r.Head() + r.N - 1) % r.N; free != r.HwTail.Load() {
		r.HwTail.Store(free)
	}
	return nil
}

// forward sends the packets in the slots from k up to head.
func (s *sender) forward(k, head uint32) {
	s.at, s.header = s.port.at.Load(), s.port.header.Load()
	s.offsets = s.ring.HasOffsets()
	s.odd = s.header != 0 || s.offsets
	s.lastTo = unknown // addresses may have moved since
	s.cut = false
	ports := *s.at.sw.ports.Load()
	if !s.odd {
		k = s.direct(k, head, ports)
	}
	for k != head {
		k = s.collect(k, head)
		s.deliver(ports)
	}
	s.publishCounts()
}

// collect takes slots from k on, up to head or a full batch, and sorts their packets by target. It
// returns the first slot that it did not take.
func (s *sender) collect(k, head uint32) uint32 {
	s.count = 0
	s.start, s.scanned = k, false
	n, more, lengths := uint32(0), uint64(0), uint64(0)
	said := abi.SlotWord(0) // all bits that are set in any word
	for k != head && n < batch {
		end := min(s.ring.Run(k, head), k+batch-n)
		part := s.ring.Slots()[k:end]
		for i := range part {
			w := part[i].Word()
			s.words[(n+uint32(i))%batch] = w
			said |= w
			lengths += uint64(w) & lengthBits
			more += uint64(w) >> moreBit & 1
		}
		if said.Flags()&abi.NSBufChanged != 0 {
			acknowledge(part)
		}
		if s.offsets {
			s.noteOffsets(part, n)
		}
		n += uint32(len(part))
		k = end % s.ring.N
	}
	rest := s.sort(n, k == head)
	for _, w := range s.words[n-rest : n] { // the next batch starts with them
		lengths -= uint64(w) & lengthBits
		more -= uint64(w) >> moreBit & 1
	}
	s.slots, s.more, s.bytes = s.slots+uint64(n-rest), s.more+more, s.bytes+lengths>>32
	return (k + s.ring.N - rest) % s.ring.N
}

// acknowledge clears the flags of changed buffers: programs look at the flag when the slot is
// theirs again.
func acknowledge(slots []abi.Slot) {
	for i := range slots {
		if f := slots[i].Word().Flags(); f&abi.NSBufChanged != 0 {
			slots[i].Flags = f &^ abi.NSBufChanged
		}
	}
}

// sort puts the packets in the first n words on the lists of their targets. At the end of what was
// sent, a packet without its last fragment counts as complete. At the end of a batch, such a packet
// is left for the next batch, and sort returns the number of its slots.
func (s *sender) sort(n uint32, last bool) (rest uint32) {
	size := s.bufs.Size()
	first := uint32(0)
	if s.cut {
		first = s.packetEnd(0, n)
		s.cut = first > n
	}
	for first < n {
		w := s.words[first%batch]
		end := first + 1
		if w.Flags()&special != 0 {
			if !s.scanned {
				s.fetch(n)
				w = s.words[first%batch]
			}
			if end = s.packetEnd(first, n); end > n {
				if end = n; !last && first > 0 {
					return n - first
				}
				s.cut = !last
			}
			if why, bad := s.badFragment(first, end); bad {
				s.drops[why]++
				first = end
				continue
			}
		}
		switch idx, length := w.BufIdx(), uint32(w.Len()); {
		case !s.bufs.Valid(idx):
			s.drops[kring.BadBuffer]++
		case length > size:
			s.drops[kring.BadLength]++
		case s.odd:
			if length > s.room(first) {
				s.drops[kring.BadLength]++
			} else if lo, hi, ok := s.headBehind(first, end); ok {
				s.look(lo, hi)
				s.add(s.lastTo, first, end)
			} else {
				s.tooShort(w)
			}
		case length < etherHead:
			s.tooShort(w)
		default:
			lo, hi := s.bufs.Head(idx)
			if lo != s.lastLo || uint32(hi) != s.lastHi || s.lastTo == unknown {
				s.look(lo, uint32(hi))
			}
			end = s.follow(end, n)
			s.add(s.lastTo, first, end)
		}
		first = end
	}
	return 0
}

// tooShort counts a packet without addresses, unless its data could not be fetched: fetch has
// counted that.
func (s *sender) tooShort(w abi.SlotWord) {
	if w.Flags()&abi.NSIndirect == 0 {
		s.drops[kring.TooShort]++
	}
}

// follow passes over the packets from i on that have the addresses of the packet before and nothing
// special, as nearly all have. It returns the first word that is different.
func (s *sender) follow(i, n uint32) uint32 {
	bufs, lo, hi := s.bufs, s.lastLo, s.lastHi
	most := bufs.Size() - etherHead
	for _, w := range s.words[i:n] {
		if w.Flags()&special != 0 || !bufs.Valid(w.BufIdx()) || uint32(w.Len())-etherHead > most {
			break
		}
		if l, h := bufs.Head(w.BufIdx()); l != lo || uint32(h) != hi {
			break
		}
		i++
	}
	return i
}

// noteOffsets reads from slots, which are words from n on, where their frames start. With
// NS_INDIRECT the ptr is no offset.
func (s *sender) noteOffsets(slots []abi.Slot, n uint32) {
	for i := range slots {
		at := (n + uint32(i)) % batch
		s.starts[at] = s.ring.OffsetOf(&slots[i])
		if s.words[at].Flags()&abi.NSIndirect != 0 {
			s.starts[at] = 0
		}
	}
}

// room returns the largest length of the frame in word i.
func (s *sender) room(i uint32) uint32 {
	if s.offsets {
		return s.bufs.Size() - s.starts[i%batch]
	}
	return s.bufs.Size()
}

// data returns the buffer of word i from the start of the frame.
func (s *sender) data(i uint32) []byte {
	b := s.bufs.Bytes(s.words[i%batch].BufIdx())
	if s.offsets {
		return b[s.starts[i%batch]:]
	}
	return b
}

// packetEnd returns the word after the packet that starts at first, above n if its last fragment is
// not there.
func (s *sender) packetEnd(first, n uint32) uint32 {
	for i := first; i < n; i++ {
		if s.words[i%batch].Flags()&abi.NSMoreFrag == 0 {
			return i + 1
		}
	}
	return n + 1
}

// badFragment returns what is wrong with a packet of several slots, apart from its length as a
// whole.
func (s *sender) badFragment(first, end uint32) (kring.Reason, bool) {
	if end-first > abi.MaxFrags {
		return kring.TooManyFrags, true
	}
	for i := first; i < end; i++ {
		w := s.words[i%batch]
		if !s.bufs.Valid(w.BufIdx()) {
			return kring.BadBuffer, true
		}
		if uint32(w.Len()) > s.room(i) {
			return kring.BadLength, true
		}
	}
	return 0, false
}

// look learns the sender's address and finds the receiver. lo and hi are the first 12 bytes of the
// frame.
func (s *sender) look(lo uint64, hi uint32) {
	dst, src := lo&macMask, lo>>48|uint64(hi)<<16
	table := &s.at.sw.table
	if src&multicast == 0 {
		table.learn(src, s.at.index)
	}
	s.lastLo, s.lastHi, s.lastTo = lo, hi, toAll
	if dst&multicast == 0 {
		if p, ok := table.find(dst); ok {
			s.lastTo = p
		}
	}
}

// add puts the packet in the words from first to end on a list, or at the end of the run that it
// continues.
func (s *sender) add(to int, first, end uint32) {
	l := &s.lists[to]
	if l.head == none {
		l.head = uint16(s.count)
		s.busy[s.used] = uint16(to)
		s.used++
	} else if t := &s.runs[l.tail%batch]; uint32(t.end) == first {
		t.end = uint16(end)
		return
	} else {
		t.next = uint16(s.count)
	}
	l.tail = uint16(s.count)
	s.runs[s.count%batch] = run{uint16(first), uint16(end), none}
	s.count++
}

// deliver empties all lists. Broadcast frames go to every port's ring 0, merged with the frames for
// that port alone in the order in which they were sent.
func (s *sender) deliver(ports []*Port) {
	if all := s.lists[toAll].head; all != none {
		others := false
		for i, p := range ports {
			if p != nil && i != s.at.index {
				s.deliverAll(p, s.lists[i].head, all)
				s.lists[i].head = none
				others = true
			}
		}
		if !others {
			s.drops[kring.NoReceiver] += s.packets(all)
		}
		s.lists[toAll].head = none
	}
	for _, to := range s.busy[:s.used] {
		l := &s.lists[to]
		if l.head == none {
			continue
		}
		if int(to) < len(ports) && int(to) != s.at.index && ports[to] != nil {
			ports[to].inboxFor(s.ring.ID).put(s, l.head, none)
		} else {
			s.drops[kring.NoReceiver] += s.packets(l.head)
		}
		l.head = none
	}
	s.used = 0
}

// deliverAll delivers broadcast runs to a port, and the runs for it alone.
func (s *sender) deliverAll(p *Port, own, all uint16) {
	if in := p.inboxFor(s.ring.ID); in != p.inboxes[0] {
		in.put(s, own, none)
		own = none
	}
	p.inboxes[0].put(s, own, all)
}

// packets counts the packets in a list.
func (s *sender) packets(i uint16) (n uint64) {
	for ; i != none; i = s.runs[i%batch].next {
		r := s.runs[i%batch]
		for first := uint32(r.first); first < uint32(r.end); n++ {
			first = min(s.packetEnd(first, uint32(r.end)), uint32(r.end))
		}
	}
	return n
}

// publishCounts publishes the counts of this sync. An attached device counts the frames that it
// receives.
func (s *sender) publishCounts() {
	if s.ring.Dir == abi.DirTx {
		s.ring.Traffic.Add(s.slots-s.more, s.bytes)
	}
	s.slots, s.more, s.bytes = 0, 0, 0
	for why := range s.drops {
		if n := s.drops[why]; n > 0 {
			s.ring.Drops.Add(kring.Reason(why), n)
			s.drops[why] = 0
		}
	}
}

// inboxFor returns the inbox for packets from a sender's ring that are for this port alone.
func (p *Port) inboxFor(ring uint16) *inbox { return p.inboxes[int(ring)%len(p.inboxes)] }

// put copies the packets of two lists into the ring, merged in the order in which they were sent.
// Packets that do not fit are lost and counted here, at the receiver.
func (in *inbox) put(s *sender, a, b uint16) {
	if a == none && b == none {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.open {
		in.ring.Drops.Add(kring.NotOpen, s.packets(a)+s.packets(b))
		return
	}
	tail, room := in.space()
	f := filler{s: s, ring: in.ring, tail: tail, room: room, from: s.header, to: in.port.header.Load()}
	f.afresh = s.offsets || in.ring.HasOffsets() || s.bufs != in.ring.Bufs()
	for a != none || b != none {
		if i := min(a, b); i == a { // none is larger than any run
			f.run(s.runs[i%batch])
			a = s.runs[i%batch].next
		} else {
			f.run(s.runs[i%batch])
			b = s.runs[i%batch].next
		}
	}
	in.ring.Drops.Add(kring.NoRoom, f.lost)
	in.ring.Drops.Add(kring.BadBuffer, f.torn)
	in.ring.Drops.Add(kring.BadHeader, f.badHeader)
	if in.out == nil { // a device counts by itself what it sends
		in.ring.Traffic.Add(f.frames, f.bytes)
	}
	if f.tail != tail {
		in.publish(f.tail)
	}
}

// space returns the slot where the next packet goes, and the number of free slots.
func (in *inbox) space() (tail, room uint32) {
	if in.out != nil {
		return in.out.space(in.ring)
	}
	tail = in.ring.HwTail.Load()
	return tail, in.ring.N - 1 - in.ring.Dist(in.ring.HwCur.Load(), tail)
}

// publish shows the receiver the slots before tail.
func (in *inbox) publish(tail uint32) {
	if in.out != nil {
		in.out.publish(in.ring, tail)
		return
	}
	in.ring.HwTail.Store(tail)
	in.ring.Waiters.Wake()
}

// filler copies packets into a ring.
type filler struct {
	s    *sender
	ring *kring.Ring
	tail uint32 // where the next slot goes
	room uint32 // slots
	lost uint64 // packets without room
	torn uint64 // packets that met a slot without a buffer

	frames, bytes uint64 // put into the ring

	// The receiver's slots do not match the sender's: buffers differ in size or pool, or frames
	// start inside their buffers.
	afresh    bool
	from, to  uint32 // lengths of the virtio-net headers of the sender and the receiver
	badHeader uint64 // packets whose header requests something impossible
}

// run copies the packets of a run.
func (f *filler) run(r run) {
	if f.afresh || f.from != f.to {
		f.convertAll(r)
		return
	}
	for words := f.s.words[r.first:r.end]; len(words) > 0; {
		n := f.lines(words)
		if n == 0 {
			n = f.packet(words)
		}
		words = words[n:]
	}
}

// lines copies consecutive packets of one slot and at most a cache line, while they find room and
// the ring does not wrap. It returns their number.
func (f *filler) lines(words []abi.SlotWord) int {
	bufs := f.s.bufs
	slots := f.ring.Slots()[f.tail:]
	words = words[:min(uint32(len(words)), f.room, uint32(len(slots)))]
	n, bytes := 0, uint64(0)
	for n < len(words) && n < len(slots) {
		w, slot := words[n], &slots[n]
		dst := slot.Word().BufIdx()
		if w.Flags()&abi.NSMoreFrag != 0 || w.Len() > 64 || !bufs.Valid(dst) {
			break
		}
		bufs.Line(dst).Set(bufs.Line(w.BufIdx()))
		slot.SetWord(abi.MakeSlotWord(dst, w.Len(), 1<<abi.NSPortShift))
		bytes += uint64(w.Len())
		n++
	}
	f.frames += uint64(n)
	f.bytes += bytes
	f.room -= uint32(n)
	f.tail = (f.tail + uint32(n)) % f.ring.N
	return n
}

// packet copies the packet that the words start with, all of it or nothing, and returns the number
// of its words.
func (f *filler) packet(words []abi.SlotWord) int {
	n := 1
	for n < len(words) && words[n-1].Flags()&abi.NSMoreFrag != 0 {
		n++
	}
	if uint32(n) > f.room {
		f.lost++
		return n
	}
	f.room -= uint32(n)
	bufs, flags := f.s.bufs, uint16(n)<<abi.NSPortShift|abi.NSMoreFrag
	torn := uint64(0)
	for i, w := range words[:n] {
		slot := f.ring.Slot(f.tail)
		f.tail = f.ring.Next(f.tail)
		dst, length := slot.Word().BufIdx(), w.Len()
		if bufs.Valid(dst) {
			bufs.Copy(dst, w.BufIdx(), uint32(length))
		} else {
			dst, length, torn = 0, 0, 1 // the receiver left no buffer here
		}
		if i == n-1 {
			flags &^= abi.NSMoreFrag
		}
		slot.SetWord(abi.MakeSlotWord(dst, length, flags))
		f.bytes += uint64(length)
	}
	f.frames++
	f.torn += torn
	return n
}
