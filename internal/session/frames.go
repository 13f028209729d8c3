package session

import "github.com/seed-48afdc40/netmap/abi"

// Frames are how many have gone through the bound rings.
func (s *Session) Frames() (sent, received uint64) {
	var n [2]uint64
	for dir := range s.rings {
		for _, r := range s.rings[dir] {
			n[dir] += r.Traffic.Frames.Load()
		}
	}
	return n[abi.DirTx], n[abi.DirRx]
}
