package vale

import (
	"encoding/binary"
	"sync/atomic"
)

const (
	tableSize = 1024
	macMask   = 1<<48 - 1
	multicast = 1 // the first bit of an address on the wire is the lowest of its first byte
)

// table is the forwarding table: direct mapped, no ageing, a later address replaces an earlier one
// with the same hash. An entry is one word, port+1 above the 48 bits of the address, so that
// senders read and write it without a lock.
type table [tableSize]atomic.Uint64

// learn notes that mac was seen at the port. Mostly that is known: an atomic store would wait for
// all stores before it, and take the cache line from the other senders.
func (t *table) learn(mac uint64, port int) {
	at, e := &t[hash(mac)], mac|uint64(port+1)<<48
	if at.Load() != e {
		at.Store(e)
	}
}

// find returns the port where mac was seen.
func (t *table) find(mac uint64) (port int, ok bool) {
	e := t[hash(mac)].Load()
	return int(e>>48) - 1, e&macMask == mac && e != 0
}

// forget removes all addresses of a port.
func (t *table) forget(port int) {
	for i := range t {
		if e := t[i].Load(); int(e>>48) == port+1 {
			t[i].CompareAndSwap(e, 0)
		}
	}
}

func (t *table) list() (all []Learned) {
	for i := range t {
		if e := t[i].Load(); e != 0 {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], e)
			all = append(all, Learned{[6]byte(b[:6]), int(e>>48) - 1})
		}
	}
	return all
}

// hash spreads addresses over the table: the high bits of a product depend on all bits of the
// address.
func hash(mac uint64) uint32 {
	return uint32(mac * 0x9e3779b97f4a7c15 >> 54)
}
