//go:build linux

package xsk

import "golang.org/x/sys/unix"

// refusal is the last packet that the device refused.
type refusal struct {
	at, n  uint32 // its entries in the TX ring, by free-running index
	length uint32 // bytes
	again  bool   // it had been put back, and nothing was sent before it
	put    uint32 // where PutBack has put one,
	isPut  bool   // if it has
}

// maxPutBack is how many buffers a packet may have for PutBack. In copy modes the kernel takes no
// more than 17.
const maxPutBack = 32

// refuse notes which packet the device has just refused.
//
// The kernel tells how far it has come only in a call that sent something. In one that did not, the
// packet is the first that was waiting.
func (s *Socket) refuse() {
	t, first := &s.tx, s.tx.tail
	end := first + 1
	if v := t.cons.Load(); int32(v-first) > 0 {
		end = v
	}
	for s.goesOn(end - 1) {
		end++
	}
	at := end - 1
	for at != first && s.goesOn(at-1) {
		at--
	}
	t.tail = end
	r := &s.refused
	r.again, r.isPut = r.isPut && at == r.put && at == first, false
	r.at, r.n, r.length = at, end-at, 0
	for i := at; i != end; i++ {
		r.length += s.txDesc[i&s.mask].Len
	}
}

// goesOn says whether the packet of entry i goes on in the next.
func (s *Socket) goesOn(i uint32) bool { return s.txDesc[i&s.mask].Options&unix.XDP_PKT_CONTD != 0 }

// Refused is the packet that KickTx says was refused: its bytes, and whether it is the one that was
// put back, with nothing sent meanwhile.
func (s *Socket) Refused() (length uint32, again bool) { return s.refused.length, s.refused.again }

// PutBack hands the packet to the kernel again that KickTx says was refused, in front of those that
// wait. It says no if the kernel has not given its buffers back yet: then it is lost. The caller
// has not called Done since.
//
// In copy modes the kernel reads the ring only in calls that send, and those are ours.
func (s *Socket) PutBack() bool {
	r, t := &s.refused, &s.tx
	if r.n > maxPutBack {
		return false
	}
	for i := r.at; i != r.at+r.n; i++ {
		if _, ok := s.completed(s.txDesc[i&s.mask].Addr); !ok {
			return false
		}
	}
	var packet [maxPutBack]unix.XDPDesc
	for i := range r.n {
		packet[i] = s.txDesc[(r.at+i)&s.mask]
		s.uncomplete(packet[i].Addr)
	}
	for i := t.head; i != t.tail; {
		i--
		s.txDesc[(i+r.n)&s.mask] = s.txDesc[i&s.mask]
	}
	for i := range r.n {
		s.txDesc[(t.tail+i)&s.mask] = packet[i]
	}
	r.put, r.isPut = t.tail, true
	t.commit(r.n)
	return true
}

// completed finds the entry of the completion ring in which a buffer came back, the newest one.
func (s *Socket) completed(addr uint64) (i uint32, found bool) {
	for i = s.done.prod.Load(); i != s.done.tail; {
		i--
		// Copy modes forget whether an address was odd.
		if (s.doneAddrs[i&s.mask]^addr)&addrMask&^1 == 0 {
			return i, true
		}
	}
	return 0, false
}

// uncomplete takes a buffer out of the completion ring: the oldest entry takes its place.
func (s *Socket) uncomplete(addr uint64) {
	if i, found := s.completed(addr); found {
		s.doneAddrs[i&s.mask] = s.doneAddrs[s.done.tail&s.mask]
		s.done.head = s.done.prod.Load()
		s.done.release(1)
	}
}

// TxWaiting counts the packets that the kernel has not taken yet, and their bytes. In copy modes
// only.
func (s *Socket) TxWaiting() (packets, bytes uint64) {
	s.tx.look()
	for i := s.tx.tail; i != s.tx.head; i++ {
		bytes += uint64(s.txDesc[i&s.mask].Len)
		if !s.goesOn(i) {
			packets++
		}
	}
	return packets, bytes
}
