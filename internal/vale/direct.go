package vale

import "github.com/seed-48afdc40/netmap/abi"

// direct forwards packets from slot k up to head without sorting them, while they are plain, in one
// slot each, and have the addresses of the first. It returns the first slot that it leaves to
// collect. So frames that are all for one port, or the only frame of a sync, are checked and copied
// in one pass. A sync whose frames have different targets pays for one attempt.
func (s *sender) direct(k, head uint32, ports []*Port) uint32 {
	for k != head {
		end := min(s.ring.Run(k, head), k+batch)
		slots := s.ring.Slots()[k:end]
		in := s.target(slots[0].Word(), ports)
		if in == nil {
			return k
		}
		n := in.take(s, slots)
		if n < len(slots) {
			return k + uint32(n)
		}
		k = end % s.ring.N
	}
	return k
}

// target returns the inbox for a plain packet to a single port, nil for other packets.
func (s *sender) target(w abi.SlotWord, ports []*Port) *inbox {
	if !s.isPlain(w) {
		return nil
	}
	lo, hi := s.bufs.Head(w.BufIdx())
	if lo != s.lastLo || uint32(hi) != s.lastHi || s.lastTo == unknown {
		s.look(lo, uint32(hi))
	}
	if to := s.lastTo; to < len(ports) && to != s.at.index && ports[to] != nil {
		return ports[to].inboxFor(s.ring.ID)
	}
	return nil
}

// isPlain reports whether a slot is a whole packet of a valid length, without flags that need work.
func (s *sender) isPlain(w abi.SlotWord) bool {
	return w.Flags()&special == 0 && s.bufs.Valid(w.BufIdx()) &&
		uint32(w.Len())-etherHead <= s.bufs.Size()-etherHead
}

// take copies the packets in a sender's slots into the ring, up to the first that is different or
// has no room. It returns the number of packets copied.
func (in *inbox) take(s *sender, slots []abi.Slot) (n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.open || in.port.header.Load() != 0 || in.ring.HasOffsets() || s.bufs != in.ring.Bufs() {
		return 0
	}
	first, room := in.space()
	tail, bytes := first, uint64(0)
	for n < len(slots) && room > 0 {
		to := in.ring.Slots()[tail:min(tail+room, in.ring.N)]
		took, size := s.copyRun(slots[n:], to)
		n, bytes = n+took, bytes+size
		tail, room = (tail+uint32(took))%in.ring.N, room-uint32(took)
		if took < len(to) {
			break
		}
	}
	if in.out == nil { // a device counts the frames that it sends
		in.ring.Traffic.Add(uint64(n), bytes)
	}
	s.slots, s.bytes = s.slots+uint64(n), s.bytes+bytes
	if n > 0 {
		in.publish(tail)
	}
	return n
}

// copyRun copies plain packets with the addresses of the last packet that was looked up into a
// receiver's slots. It returns their number, and the sum of their lengths.
func (s *sender) copyRun(from, to []abi.Slot) (n int, bytes uint64) {
	n = min(len(from), len(to))
	from, to = from[:n], to[:n]
	for done := 0; ; done++ {
		short, size := s.copyLines(from[done:], to[done:])
		done, bytes = done+short, bytes+size
		if done == n {
			return done, bytes
		}
		length := s.copyOne(&from[done], &to[done])
		if length == 0 {
			return done, bytes
		}
		bytes += uint64(length)
	}
}

// copyLines is copyRun for packets of at most a cache line, up to the first that is longer. It
// calls no function, so that the compiler keeps everything in registers.
func (s *sender) copyLines(from, to []abi.Slot) (n int, bytes uint64) {
	bufs, lo, hi := s.bufs, s.lastLo, s.lastHi
	said, lengths := abi.SlotWord(0), uint64(0)
	to = to[:len(from)]
	for n < len(from) {
		w, dst := from[n].Word(), to[n].Word().BufIdx()
		if w.Flags()&special != 0 || uint32(w.Len())-etherHead > 64-etherHead ||
			!bufs.Valid(w.BufIdx()) || !bufs.Valid(dst) {
			break
		}
		line := bufs.Line(w.BufIdx())
		if l, h := line.Head(); l != lo || uint32(h) != hi {
			break
		}
		bufs.Line(dst).Set(line)
		to[n].SetWord(abi.MakeSlotWord(dst, w.Len(), 1<<abi.NSPortShift))
		said |= w
		lengths += uint64(w) & lengthBits
		n++
	}
	if said.Flags()&abi.NSBufChanged != 0 {
		acknowledge(from[:n])
	}
	return n, lengths >> 32
}

// copyOne is copyRun for one packet of any length. It returns the length, 0 if the packet is
// different.
func (s *sender) copyOne(from, to *abi.Slot) (length uint16) {
	w, dst := from.Word(), to.Word().BufIdx()
	if !s.isPlain(w) || !s.bufs.Valid(dst) {
		return 0
	}
	if lo, hi := s.bufs.Head(w.BufIdx()); lo != s.lastLo || uint32(hi) != s.lastHi {
		return 0
	}
	s.bufs.Copy(dst, w.BufIdx(), uint32(w.Len()))
	to.SetWord(abi.MakeSlotWord(dst, w.Len(), 1<<abi.NSPortShift))
	if f := w.Flags(); f&abi.NSBufChanged != 0 {
		from.Flags = f &^ abi.NSBufChanged
	}
	return w.Len()
}
