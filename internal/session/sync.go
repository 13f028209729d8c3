package session

import (
	"errors"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/oldapi"
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

// bound is a ring as the session's program sees it: the ring itself, a ring of an old API, or the
// entries of a CSB.
type bound struct {
	*kring.Ring
	viewed bool         // the program sees old or csb, and not the ring itself
	old    *oldapi.Ring // nil for none
	csb    *csbView     // nil for none
}

// enter takes over the indexes that the program wrote to its view of the ring. It returns false if
// they are out of range.
func (r *bound) enter() bool {
	if r.csb != nil {
		return r.csb.enter(r.Ring)
	}
	return r.old.Begin(r.Ring)
}

// leave updates the program's view after a sync.
func (r *bound) leave(failed bool) {
	switch {
	case r.old != nil:
		r.old.Publish(r.Ring)
	case !failed:
		r.csb.leave(r.Ring)
	}
}

// idle reports whether the program has released no slot since the last sync.
func (r *bound) idle() bool {
	if r.old != nil {
		return !r.old.Pending()
	}
	return r.Idle()
}

// ready reports whether the program has slots, so that poll reports the ring.
func (r *bound) ready() bool {
	if r.old != nil {
		return r.old.Ready()
	}
	return r.Ready()
}

// errReinit is the error of a ring whose indexes were out of range. Poll returns POLLERR for it,
// and a sync returns no error.
var errReinit = errors.New("indexes of the ring are out of range")

// sync syncs a ring that is held: it takes over the released slots, lets the port move slots, and
// shows the program the result. An rx ring whose indexes are out of range still receives.
func (s *Session) sync(b *bound, program kring.Memory) error {
	if b.viewed {
		return s.syncView(b, program)
	}
	r := b.Ring
	sane := r.Prologue()
	if !sane {
		if r.Reinit(); r.Dir == abi.DirTx {
			return errReinit
		}
	} else if s.host != nil && r.Dir == abi.DirRx {
		s.forward(r)
	}
	if err := r.Sync(r, program); err != nil {
		return err
	}
	publish(r)
	if !sane {
		return errReinit
	}
	return nil
}

// publish shows the program the new tail, and in an rx ring the time. Reading the clock costs as
// much as a whole idle sync, so the time is set only after news or on request.
func publish(r *kring.Ring) {
	if moved := r.Publish(); r.Dir == abi.DirRx && (moved || r.WantsStamp()) {
		r.Stamp()
	}
}

// syncView is sync for a program that has a view of the ring.
func (s *Session) syncView(b *bound, program kring.Memory) error {
	r := b.Ring
	if !b.enter() {
		return errReinit
	}
	if b.csb == nil && s.host != nil && r.Dir == abi.DirRx {
		s.forward(r)
	}
	err := r.Sync(r, program)
	if err == nil && b.csb == nil {
		publish(r)
	}
	b.leave(err != nil)
	return err
}

// TxSync hands over the slots that the program filled in the bound tx rings, and takes back the
// slots that were sent. It skips a ring that another thread is syncing. Errors: ENXIO when the
// session is closed, EBUSY in CSB mode, EIO when the port is down or gone. An invalid head or cur
// of a ring is no error here; poll returns POLLERR.
func (s *Session) TxSync() error { return s.syncAll("txsync", s.synced[abi.DirTx], nil) }

// TxSyncFrom is TxSync for a program whose memory can be reached, for slots with NS_INDIRECT.
func (s *Session) TxSyncFrom(program kring.Memory) error {
	return s.syncAll("txsync", s.synced[abi.DirTx], program)
}

// RxSync gives back the slots that the program read, and takes in the frames that have arrived.
// Errors are those of TxSync.
func (s *Session) RxSync() error { return s.syncAll("rxsync", s.synced[abi.DirRx], nil) }

// syncAll syncs the rings of a direction.
func (s *Session) syncAll(op string, rings []bound, program kring.Memory) (err error) {
	if s.closed.Load() || s.csb.Load() {
		return s.unusable(op)
	}
	if s.old != nil {
		s.clearReinits()
	}
	for i := range rings {
		b := &rings[i]
		if !b.TryHold() {
			continue
		}
		if s.keeps(b) {
			if e := s.sync(b, program); e != nil && e != errReinit {
				err = e
			}
		}
		b.Drop()
	}
	return err
}

// unusable returns why there are no syncs any more.
func (s *Session) unusable(op string) error {
	if s.closed.Load() {
		return s.closedError(op)
	}
	return s.csbError(op)
}

// keeps returns false for a ring that has been stopped, or whose view is gone because the session
// was closed.
func (s *Session) keeps(r *bound) bool {
	return r.Mapped() && (!r.viewed || !s.closed.Load())
}

// await holds a ring for a poll or a loop, which must not skip a ring that another thread is
// syncing. It returns false if there is nothing to sync any more.
func (s *Session) await(r *bound) bool {
	r.Hold()
	if !s.keeps(r) {
		r.Drop()
		return false
	}
	return true
}

// Poll does what poll(2) does before it sleeps: it syncs and returns those of the wanted events
// that are ready. Pending frames are sent by every poll unless the session has NR_NO_TX_POLL and
// does not ask for PollOut. It returns PollErr for a ring with invalid indexes, a port that is down
// or gone, CSB mode, or a closed session.
func (s *Session) Poll(events int16) (ready int16) { return s.PollFrom(nil, events) }

// PollFrom is Poll for a program whose memory can be reached. As programs of old APIs expect, it
// syncs no ring of a direction in which one of their rings has slots already, except to send
// pending frames.
func (s *Session) PollFrom(program kring.Memory, events int16) (ready int16) {
	if s.closed.Load() || s.csb.Load() || s.old != nil && s.clearReinits() {
		return PollErr
	}
	in, out := events&wantIn, events&wantOut
	if s.old != nil {
		if s.has(abi.DirRx, in) {
			ready, in = in, 0
		}
		if s.has(abi.DirTx, out) {
			ready, out = ready|out, 0
		}
	}
	if s.answer.Flags&abi.NRNoTxPoll == 0 || out != 0 {
		ready |= s.pollRings(abi.DirTx, out, program)
	}
	if in != 0 {
		ready |= s.pollRings(abi.DirRx, in, nil)
	}
	return ready
}

// pollRings syncs the rings of a direction. It syncs tx rings without pending frames only if room
// is wanted. For a program of today's API, it looks for no more room after one ring has some.
func (s *Session) pollRings(dir kring.Dir, want int16, program kring.Memory) (ready int16) {
	for i := range s.synced[dir] {
		r := &s.synced[dir][i]
		if !s.await(r) {
			continue
		}
		if (want != 0 || !r.idle()) && s.sync(r, program) != nil {
			ready |= PollErr
		}
		if r.ready() {
			if ready |= want; dir == abi.DirTx && r.old == nil {
				want = 0
			}
		}
		r.Drop()
	}
	return ready
}

func (s *Session) closedError(op string) error {
	return fault.New(syscall.ENXIO, op, s.target.Title(), "the port is closed")
}
