package session

import "github.com/seed-48afdc40/netmap/abi"

// Frames returns the numbers of frames that the bound rings have sent and received.
func (s *Session) Frames() (sent, received uint64) {
	var n [2]uint64
	for dir := range s.rings {
		for _, r := range s.rings[dir] {
			n[dir] += r.Traffic.Frames.Load()
		}
	}
	return n[abi.DirTx], n[abi.DirRx]
}
