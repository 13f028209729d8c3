package gen

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/pace"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
)

const selfTestTime = 5 * time.Second

// selfTest sends from one port of a switch to another, and fails if a frame was lost or changed.
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

// openSelfTest opens both ports. The sender ends by itself. It stops the receiver when all frames
// have arrived, or after flushTime.
func (j *job) openSelfTest(open cli.Opener) error {
	// on a shared device, no other program uses this switch
	name := fmt.Sprintf("valegen%d:", os.Getpid())
	tx, err := open(name+"sender", netmap.TxOnly())
	if err != nil {
		return err
	}
	if err := j.checkFits(tx); err != nil {
		return err
	}
	rx, err := open(name + "receiver")
	if err != nil {
		return err
	}
	if j.Frames.DstMAC, err = learnAddress(rx); err != nil {
		return err
	}
	w := pace.NewWindow(uint64((rx.Rx()[0].NumSlots() - 1) / j.cutFor(tx).Slots))
	s := j.newSender(0, tx, j.maker(tx, j.builders()[0]))
	s.window = w
	r := j.newReceiver(rx)
	r.window = w
	j.moved, j.sent, j.window = []*counters{r.n}, []*counters{s.n}, w.Size()
	rxCtx, rxStop := context.WithCancel(context.Background())
	j.workers = []worker{
		func(ctx context.Context) error {
			defer rxStop()
			if err := s.run(ctx); err != nil {
				return err
			}
			for end := time.Now().Add(flushTime); r.n.frames.Load() < s.n.frames.Load() &&
				time.Now().Before(end); {
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

// learnAddress sends a frame from the receiver, so that the switch learns its address, and returns
// the address. The switch sends frames for unknown addresses to all ports.
func learnAddress(rx *netmap.Port) (testframe.MACs, error) {
	mac := net.HardwareAddr{0x02, 0x6e, 0x6d, 0, 0, 1}
	f := make([]byte, testframe.MinLen)
	copy(f, "\xff\xff\xff\xff\xff\xff")
	copy(f[6:], mac)
	copy(f[12:], "\x88\xb5") // the Ethernet type for local experiments
	rx.Tx()[0].Send(f)
	return testframe.OneMAC(mac), rx.TxSync()
}
