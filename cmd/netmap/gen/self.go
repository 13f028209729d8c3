package gen

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
)

const selfTestTime = 5 * time.Second

// window keeps a sender from running more than a ring ahead of its receiver. A VALE switch drops what does not fit into
// the receiver's ring and does not tell the sender: without a window, loss would say nothing but who is faster.
type window struct {
	size uint64
	read atomic.Uint64 // frames whose slots the receiver has given back; written by the receiver
	spun int
}

// room is how many frames may go after that many.
func (w *window) room(sent uint64) int { return int(w.size - (sent - w.read.Load())) }

// wait waits a moment for the receiver.
func (w *window) wait() {
	const spins = 1000
	if w.spun++; w.spun%spins == 0 {
		time.Sleep(20 * time.Microsecond) // it may be waiting for this very core
		return
	}
	runtime.Gosched()
}

// selfTest sends from one port of a switch to another, checks everything, and fails if anything was
// lost or changed.
func (j *job) selfTest(ctx context.Context, open cli.Opener) error {
	if j.Duration == 0 && j.Count == 0 {
		j.Duration = selfTestTime
	}
	if err := j.openSelfTest(open); err != nil {
		return err
	}
	r, err := j.run(ctx)
	if err != nil {
		return err
	}
	return r.Verdict()
}

// openSelfTest opens both ends. The sender ends by itself; the receiver is ended when it has
// everything.
func (j *job) openSelfTest(open cli.Opener) error {
	name := fmt.Sprintf("valegen%d:", os.Getpid()) // nobody else's switch, where the device is shared
	tx, err := open(name+"sender", netmap.TxOnly())
	if err != nil {
		return err
	}
	if err := j.fits(tx); err != nil {
		return err
	}
	rx, err := open(name + "receiver")
	if err != nil {
		return err
	}
	if j.Frames.DstMAC, err = announce(rx); err != nil {
		return err
	}
	w := &window{size: uint64((rx.Rx()[0].NumSlots() - 1) / j.cutFor(tx).Slots)}
	s := j.newSender(0, tx, j.maker(tx, j.builders()[0]))
	s.window = w
	r := j.newReceiver(rx)
	r.window = w
	j.moved, j.sent, j.window = []*counters{r.n}, []*counters{s.n}, w.size
	rxCtx, rxStop := context.WithCancel(context.Background())
	j.workers = []worker{
		func(ctx context.Context) error {
			defer rxStop()
			if err := s.run(ctx); err != nil {
				return err
			}
			for end := time.Now().Add(flushTime); r.n.frames.Load() < s.n.frames.Load() && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			return nil
		},
		func(context.Context) error {
			defer rxStop()
			return r.run(rxCtx)
		},
	}
	return nil
}

// announce has the switch see the receiver's address, which it returns: otherwise frames for it would go to all ports.
func announce(rx *netmap.Port) (testframe.MACs, error) {
	mac := net.HardwareAddr{0x02, 0x6e, 0x6d, 0, 0, 1}
	f := make([]byte, testframe.MinLen)
	copy(f, "\xff\xff\xff\xff\xff\xff")
	copy(f[6:], mac)
	copy(f[12:], "\x88\xb5") // an Ethernet type for local experiments
	rx.Tx()[0].Send(f)
	return testframe.OneMAC(mac), rx.TxSync()
}
