//go:build linux

package pace

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Window keeps a sender at most size frames ahead of a receiver in the same process. A VALE switch
// drops frames that do not fit into the receiver's ring, and the sender does not learn of it. So
// without a Window, a loss would only show that the sender is faster.
type Window struct {
	size uint64
	read atomic.Uint64 // frames whose slots the receiver has released
	spun int
}

// NewWindow returns a Window of size frames.
func NewWindow(size uint64) *Window { return &Window{size: size} }

// Size is the size in frames.
func (w *Window) Size() uint64 { return w.size }

// Room is how many frames the sender may send after it has sent so many.
func (w *Window) Room(sent uint64) int { return int(w.size - (sent - w.read.Load())) }

// Release tells the sender that the receiver has released the slots of so many frames in all.
func (w *Window) Release(total uint64) { w.read.Store(total) }

// Wait yields the processor to the receiver. Only the sender calls it.
func (w *Window) Wait() {
	const spins = 1000
	if w.spun++; w.spun%spins == 0 {
		time.Sleep(20 * time.Microsecond) // the receiver's thread may wait for this core
		return
	}
	runtime.Gosched()
}
