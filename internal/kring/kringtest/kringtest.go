// Package kringtest plays the program of a ring, for the tests of kinds of port.
package kringtest

import (
	"errors"
	_ "sync/atomic" // else the compiler makes each use of a shared word a call
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// NewRegion makes a region with room for a few ports, and so many buffers of 256 bytes. At the end
// of the test all objects have to be back.
func NewRegion(t testing.TB, bufs uint32) *mem.Region {
	t.Helper()
	return NewRegionOf(t, mem.Pool{Num: bufs, Size: 256})
}

// NewRegionOf is NewRegion with buffers of any size.
func NewRegionOf(t testing.TB, bufs mem.Pool) *mem.Region {
	t.Helper()
	r, err := mem.New(1, mem.Config{If: mem.Pool{Num: 4, Size: 1024},
		Ring: mem.Pool{Num: 1024, Size: 1280}, Buf: bufs, NoHuge: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if u := r.Usage(); !u.Full() {
			t.Errorf("not all objects are back in the pools: %+v", u)
		}
		r.Close()
	})
	return r
}

// Ring is both sides of a ring: the framework's, and the program's.
type Ring struct {
	*kring.Ring
	Shared  *abi.Ring
	Program kring.Memory // of the program whose syncs these are
	port    port.Port
	region  *mem.Region
	refuses bool // no frames pass: syncs may say EIO
}

// Open starts a ring of a port.
func Open(t testing.TB, region *mem.Region, p port.Port, dir kring.Dir, id int) *Ring {
	t.Helper()
	r := &Ring{Ring: p.Rings(dir)[id], port: p, region: region}
	r.Reopen(t)
	return r
}

// Reopen starts the ring again.
func (r *Ring) Reopen(t testing.TB) {
	t.Helper()
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
}

func (r *Ring) start() error {
	r.Hold()
	defer r.Drop()
	if err := r.port.Start(r.Ring); err != nil {
		return err
	}
	r.find()
	return nil
}

// find sets the program's view of the ring.
func (r *Ring) find() { r.Shared = shm.At[abi.Ring](r.region.Bytes(), uintptr(r.Offset())) }

// Close stops the ring.
func (r *Ring) Close() {
	r.Hold()
	defer r.Drop()
	r.port.Stop(r.Ring)
	r.Shared = nil
}

// Sync does what the ioctls do with the ring. It reports whether the prologue accepted head and
// cur.
func (r *Ring) Sync(t testing.TB) (accepted bool) {
	t.Helper()
	r.Hold()
	defer r.Drop()
	return r.sync(t)
}

// sync is Sync for a ring that is held. It tests the duties of every sync function, see
// kring.Ring.Sync.
func (r *Ring) sync(t testing.TB) (accepted bool) {
	t.Helper()
	if accepted = r.Prologue(); !accepted {
		r.Reinit()
	}
	if !accepted && r.Dir == abi.DirTx {
		return false
	}
	switch err := r.Ring.Sync(r.Ring, r.Program); {
	case err != nil && !(r.refuses && errors.Is(err, syscall.EIO)):
		t.Error(err)
	case err == nil && r.HwCur.Load() != r.Head():
		t.Errorf("%s: a sync leaves HwCur at %d, want head, %d", r.Name, r.HwCur.Load(), r.Head())
	case r.HwTail.Load() >= r.N:
		t.Errorf("%s: a sync leaves HwTail at %d of %d", r.Name, r.HwTail.Load(), r.N)
	}
	r.Publish()
	return accepted
}

// SetHead moves the program's head and cur.
func (r *Ring) SetHead(i uint32) {
	r.Shared.Cur.Store(i)
	r.Shared.Head.Store(i)
}

// Mine returns the indexes of the program's slots, from head on.
func (r *Ring) Mine() []uint32 {
	var list []uint32
	for i, tail := r.Shared.Head.Load(), r.Shared.Tail.Load(); i != tail; i = r.Next(i) {
		list = append(list, i)
	}
	return list
}

// Push hands a frame over, in a slot with these flags. It returns false if the program has no slot.
// The next Sync sends the frame.
func (r *Ring) Push(frame []byte, flags uint16) bool {
	i := r.Shared.Head.Load()
	if i == r.Shared.Tail.Load() {
		return false
	}
	s := r.Slot(i)
	s.Len, s.Flags = uint16(copy(r.Bufs().Bytes(s.BufIdx), frame)), flags
	r.SetHead(r.Next(i))
	return true
}

// Pull returns the frame in the program's next slot, with the slot's flags, and releases the slot.
func (r *Ring) Pull() (frame []byte, flags uint16, ok bool) {
	i := r.Shared.Head.Load()
	if i == r.Shared.Tail.Load() {
		return nil, 0, false
	}
	s := *r.Slot(i)
	frame = append(frame, r.Bufs().Bytes(s.BufIdx)[:min(uint32(s.Len), r.Bufs().Size())]...)
	r.SetHead(r.Next(i))
	return frame, s.Flags, true
}
