package vale

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// together is how many pieces of a program's memory are fetched at once.
const together = 64

// fetch copies the data of slots with NS_INDIRECT among the first n words into their buffers, which
// belong to the framework during the sync. Afterwards they are ordinary slots. A slot whose data
// cannot be read gets length 0 and keeps the flag, and is counted.
func (s *sender) fetch(n uint32) {
	s.scanned = true
	count := 0
	for i := range n {
		w := s.words[i%batch]
		if w.Flags()&abi.NSIndirect == 0 {
			continue
		}
		if s.bufs.Valid(w.BufIdx()) && uint32(w.Len()) <= s.bufs.Size() { // if not, sort finds out
			s.pieces[count] = kring.Piece{Addr: s.ring.Slot((s.start + i) % s.ring.N).Ptr,
				To: s.bufs.Bytes(w.BufIdx())[:w.Len()]}
			s.fetched[count] = uint16(i)
			count++
		}
		if count == together {
			s.fetchPieces(count)
			count = 0
		}
	}
	s.fetchPieces(count)
}

func (s *sender) fetchPieces(n int) {
	pieces := s.pieces[:n]
	if m := s.program; m != nil && n > 0 {
		m.Fetch(pieces)
	} else {
		for i := range pieces {
			pieces[i].Bad = true
		}
	}
	for i := range pieces {
		w := &s.words[s.fetched[i]%batch]
		if pieces[i].Bad {
			*w = abi.MakeSlotWord(w.BufIdx(), 0, w.Flags())
			s.drops[kring.BadAddress]++
		} else {
			*w = abi.MakeSlotWord(w.BufIdx(), w.Len(), w.Flags()&^abi.NSIndirect)
		}
	}
	clear(pieces)
}
