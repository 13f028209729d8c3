//go:build linux

package xsk

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// StandIn is a socket whose rings are in ordinary memory; its methods do the kernel's part. With
// it, tests measure what the users of Socket cost by themselves, without an interface.
type StandIn struct {
	*Socket
	words [8]struct { // the shared indexes
		atomic.Uint32
		_ [60]byte
	}
}

// NewStandIn makes a socket for both directions in zero-copy mode, in which sending needs no system
// call. Size is a power of two.
func NewStandIn(m *Memory, size uint32) *StandIn {
	k := &StandIn{Socket: &Socket{
		fd: -1, txFD: -1, on: "a stand-in", memory: m, zeroCopy: true, mask: size - 1,
		stride: m.Stride, inverse: inverse(m.Stride), budget: size,
		rxDesc: make([]unix.XDPDesc, size), fillAddrs: make([]uint64, 2*size),
		txDesc: make([]unix.XDPDesc, size), doneAddrs: make([]uint64, size),
	}}
	w := &k.words
	k.rx = consumer{prod: &w[0].Uint32, cons: &w[1].Uint32}
	k.fill = producer{prod: &w[2].Uint32, cons: &w[3].Uint32, flags: &k.none, size: 2 * size}
	k.tx = producer{prod: &w[4].Uint32, cons: &w[5].Uint32, flags: &k.none, size: size}
	k.done = consumer{prod: &w[6].Uint32, cons: &w[7].Uint32}
	return k
}

// Arrive receives up to n frames of a length, at most one for each buffer in the fill ring, and
// returns how many.
func (k *StandIn) Arrive(n, length uint32) uint32 {
	from, to := k.fill.cons.Load(), k.rx.prod.Load()
	n = min(n, k.fill.prod.Load()-from)
	for i := range n {
		addr := k.fillAddrs[(from+i)&uint32(len(k.fillAddrs)-1)]
		k.rxDesc[(to+i)&k.mask] = unix.XDPDesc{Addr: addr | headroom<<offsetShift, Len: length}
	}
	k.fill.cons.Store(from + n)
	k.rx.prod.Store(to + n)
	return n
}

// offsetShift is the position in an address of a frame's offset in its chunk.
const offsetShift = 64 - 16

// Leave sends all frames that wait to be sent, and returns how many.
func (k *StandIn) Leave() uint32 {
	from, to := k.tx.cons.Load(), k.done.prod.Load()
	n := k.tx.prod.Load() - from
	for i := range n {
		k.doneAddrs[(to+i)&k.mask] = k.txDesc[(from+i)&k.mask].Addr
	}
	k.tx.cons.Store(from + n)
	k.done.prod.Store(to + n)
	return n
}

// Filled counts how often each buffer is in the fill ring.
func (k *StandIn) Filled() map[uint32]int {
	all := map[uint32]int{}
	for i := k.fill.cons.Load(); i != k.fill.prod.Load(); i++ {
		all[k.buffer(k.fillAddrs[i&uint32(len(k.fillAddrs)-1)]+headroom)]++
	}
	return all
}
