package engine

import (
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Events of poll(2).
const (
	PollIn  = 0x0001
	PollOut = 0x0004
	PollErr = 0x0008

	pollRdNorm = 0x0040
	pollWrNorm = 0x0100
	wantIn     = PollIn | pollRdNorm
	wantOut    = PollOut | pollWrNorm
)

// TxSync hands over what the program put into the bound tx rings and takes back what was sent. A ring that another thread
// is syncing is skipped. Errors: ENXIO when the binding is closed, EBUSY in CSB mode, EIO when the port is down or gone. A
// ring whose head or cur made no sense is no error here; poll says POLLERR.
func (b *Binding) TxSync() error { return b.TxSyncFrom(nil) }

// TxSyncFrom is TxSync for a program whose memory can be reached, for slots with NS_INDIRECT.
func (b *Binding) TxSyncFrom(m kring.Memory) error {
	err := b.usable("txsync")
	if err != nil {
		return err
	}
	for _, r := range b.rings[abi.DirTx] {
		if !hold(r) {
			continue
		}
		if r.Prologue() {
			if e := finish(r, m); e != nil {
				err = e
			}
		} else {
			r.Reinit()
		}
		r.Drop()
	}
	return err
}

// RxSync gives back what the program read and takes in what has arrived. Errors are those of TxSync.
func (b *Binding) RxSync() error {
	err := b.usable("rxsync")
	if err != nil {
		return err
	}
	for _, r := range b.rings[abi.DirRx] {
		if !hold(r) {
			continue
		}
		if r.Prologue() {
			b.forward(r)
		} else {
			r.Reinit()
		}
		if e := finishRx(r); e != nil {
			err = e
		}
		r.Drop()
	}
	return err
}

// usable says why there are no syncs any more.
func (b *Binding) usable(op string) error {
	switch {
	case b.closed.Load():
		return b.closedError(op)
	case b.csb.Load():
		return b.csbError(op)
	}
	return nil
}

// hold takes a ring unless somebody has it or it has just been stopped.
func hold(r *kring.Ring) bool {
	return r.TryHold() && keep(r)
}

// keep lets a ring go that has been stopped.
func keep(r *kring.Ring) bool {
	if !r.Mapped() {
		r.Drop()
		return false
	}
	return true
}

// await is hold for poll, which must not miss what the other thread finds: it waits for the ring.
func await(r *kring.Ring) bool {
	r.Hold()
	return keep(r)
}

// finish is what follows a prologue.
func finish(r *kring.Ring, m kring.Memory) error {
	if err := r.Sync(r, m); err != nil {
		return err
	}
	r.Publish()
	return nil
}

// finishRx is finish with the time of arrival. Reading the clock costs as much as a whole idle sync, so the time is
// taken when there is something new or the program asks for it.
func finishRx(r *kring.Ring) error {
	if err := r.Sync(r, nil); err != nil {
		return err
	}
	if r.Publish() || r.WantsStamp() {
		r.Stamp(time.Now())
	}
	return nil
}

// Poll does what poll(2) does before it sleeps: it syncs and returns which of the wanted events are there. Pending
// frames are sent by every poll unless the binding has NR_NO_TX_POLL and does not ask for PollOut. PollErr stands for a
// ring that made no sense, a port that is down or gone, CSB mode, or a closed binding.
func (b *Binding) Poll(events int16) (ready int16) { return b.PollFrom(nil, events) }

// PollFrom is Poll for a program whose memory can be reached.
func (b *Binding) PollFrom(m kring.Memory, events int16) (ready int16) {
	if b.closed.Load() || b.csb.Load() {
		return PollErr
	}
	if b.answer.Flags&abi.NRNoTxPoll == 0 || events&wantOut != 0 {
		ready = b.pollTx(m, events&wantOut)
	}
	if events&wantIn != 0 {
		ready |= b.pollRx(events & wantIn)
	}
	return ready
}

// pollTx syncs the tx rings, but once one has room only those that have frames to send.
func (b *Binding) pollTx(m kring.Memory, want int16) (ready int16) {
	for _, r := range b.rings[abi.DirTx] {
		if !await(r) {
			continue
		}
		if want == 0 && r.Idle() {
			r.Drop()
			continue
		}
		switch {
		case !r.Prologue():
			r.Reinit()
			ready |= PollErr
		case finish(r, m) != nil:
			ready |= PollErr
		}
		if r.Ready() {
			ready |= want
			want = 0
		}
		r.Drop()
	}
	return ready
}

func (b *Binding) pollRx(want int16) (ready int16) {
	for _, r := range b.rings[abi.DirRx] {
		if !await(r) {
			continue
		}
		if r.Prologue() {
			b.forward(r)
		} else {
			r.Reinit()
			ready |= PollErr
		}
		if finishRx(r) != nil {
			ready |= PollErr
		}
		if r.Ready() {
			ready |= want
		}
		r.Drop()
	}
	return ready
}

func (b *Binding) closedError(op string) error {
	return fault.New(syscall.ENXIO, op, b.entry.title(), "the port is closed")
}
