package gen

import (
	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/frame"
)

// joiner puts the frames of a ring together that are longer than a buffer and come in several slots.
type joiner struct {
	open bool // the slot before had more to follow
	long []byte
}

// add takes the piece in a slot and says whether the frame is whole. One that is gen's own has at most frame.MaxLen bytes:
// of others, that much and one byte is kept.
func (j *joiner) add(word abi.SlotWord, piece []byte) (f []byte, whole bool) {
	more := word.Flags()&abi.NSMoreFrag != 0
	if !more && !j.open {
		return piece, true
	}
	if !j.open {
		j.long = j.long[:0]
	}
	j.long = append(j.long, piece[:min(len(piece), frame.MaxLen+1-len(j.long))]...)
	j.open = more
	return j.long, !more
}

// room is how much of a frame fits into a slot.
func room(r *netmap.Ring) int { return max(1, r.BufSize()-r.Offset(r.Slot(0))) }
