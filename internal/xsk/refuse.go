//go:build linux

package xsk

import "golang.org/x/sys/unix"

// refusal is the last packet that the device refused.
type refusal struct {
	at, n  uint32 // its entries in the TX ring, by free-running index
	length uint32 // bytes
	again  bool   // PutBack had put it back, and nothing was sent before it
	isPut  bool   // PutBack has put a packet back, at put
	put    uint32
}

// maxPutBack is the most buffers of a packet that PutBack takes. In copy modes the kernel takes at
// most 17.
const maxPutBack = 32

// refuse records which packet the device has just refused.
//
// The kernel advances its index only in a call that sent something. In any other call, the refused
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

// goesOn tells whether the packet of entry i goes on in the next entry.
func (s *Socket) goesOn(i uint32) bool { return s.txDesc[i&s.mask].Options&unix.XDP_PKT_CONTD != 0 }

// Refused returns the length in bytes of the packet that KickTx reported as refused, and whether
// PutBack had put this packet back and nothing was sent meanwhile.
func (s *Socket) Refused() (length uint32, again bool) { return s.refused.length, s.refused.again }

// PutBack hands the packet that KickTx reported as refused to the kernel again, in front of those
// that wait. It returns false if the kernel has not given the buffers of the packet back yet: then
// the packet is lost. The caller must not have called Done since KickTx.
//
// In copy modes the kernel reads the ring only in system calls that send, and only we make those.
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

// completed finds the newest entry of the completion ring with a buffer's address.
func (s *Socket) completed(addr uint64) (i uint32, found bool) {
	for i = s.done.prod.Load(); i != s.done.tail; {
		i--
		// The kernel loses the lowest bit of an address in copy modes.
		if (s.doneAddrs[i&s.mask]^addr)&addrMask&^1 == 0 {
			return i, true
		}
	}
	return 0, false
}

// uncomplete removes a buffer from the completion ring: the oldest entry moves to its place.
func (s *Socket) uncomplete(addr uint64) {
	if i, found := s.completed(addr); found {
		s.doneAddrs[i&s.mask] = s.doneAddrs[s.done.tail&s.mask]
		s.done.head = s.done.prod.Load()
		s.done.release(1)
	}
}

// TxWaiting counts the packets that the kernel has not taken yet, and their bytes. It works in copy
// modes only.
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
