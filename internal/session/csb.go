package session

import (
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// CSB is where a program in CSB mode and a sync loop exchange what otherwise stands in the rings:
// an entry for each bound ring, tx rings first. How the loop comes to the program's memory is the
// transport's business.
//
//	program                                         loop
//	cur, then head  ------------ Atok ------------> head, then cur
//	hwtail, then hwcur <-------- Ktoa ------------- hwcur, then hwtail
//	sleeps, sets appl_need_kick ------------------> wakes the program after publishing
//	wakes the loop after writing head <------------ sleeps, sets kern_need_kick
//
// Who is about to sleep says so, looks once more, and only then sleeps. All words are atomics,
// whose loads and stores stay in the order in which they are written here, so that one of the two
// sees the other.
type CSB struct {
	Atok []abi.CSBAtok
	Ktoa []abi.CSBKtoa

	// Pull and Push are nil where the arrays are memory that both sides map. Elsewhere the arrays
	// are copies: Pull brings Atok up to date, Push has the program see Ktoa. Both are full fences,
	// and an entry's words travel together.
	Pull, Push func() error
}

func (c *CSB) pull() error {
	if c.Pull == nil {
		return nil
	}
	return c.Pull()
}

func (c *CSB) push() error {
	if c.Push == nil {
		return nil
	}
	return c.Push()
}

// RingState is what a program in CSB mode finds in a ring's entries at first.
type RingState struct{ Head, Cur, HwCur, HwTail uint32 }

// Write writes it. Both sides want to be woken, because nobody is awake yet.
func (s RingState) Write(a *abi.CSBAtok, k *abi.CSBKtoa) {
	a.Head.Store(s.Head)
	a.Cur.Store(s.Cur)
	a.ApplNeedKick.Store(1)
	a.SyncFlags.Store(1)
	k.HwCur.Store(s.HwCur)
	k.HwTail.Store(s.HwTail)
	k.KernNeedKick.Store(1)
}

// csbView is a ring as a program in CSB mode has it: in its entries.
type csbView struct {
	atok             *abi.CSBAtok
	ktoa             *abi.CSBKtoa
	head, cur        uint32 // as read last, whether they made sense or not
	hwcur            uint32 // as published
	moved, tailMoved bool   // in the last sync
}

// begin shows the program where the ring is. What is in Ktoa may be a copy that is empty so far.
func (v *csbView) begin(state RingState) {
	v.hwcur = state.HwCur
	v.ktoa.HwCur.Store(state.HwCur)
	v.ktoa.HwTail.Store(state.HwTail)
	v.ktoa.KernNeedKick.Store(1)
}

// read reads what the program wrote.
func (v *csbView) read() {
	v.head = v.atok.Head.Load() // before cur
	v.cur = v.atok.Cur.Load()
}

// enter hands over what was read. A head and a cur that make no sense change nothing: the ring
// stands still until they do.
func (v *csbView) enter(r *kring.Ring) bool { return r.Accept(v.head, v.cur) }

// leave publishes what came of a sync.
func (v *csbView) leave(r *kring.Ring) {
	hwcur := r.HwCur.Load()
	hwtail, tailMoved := r.Settle()
	v.moved, v.tailMoved = hwcur != v.hwcur, tailMoved
	if v.moved {
		v.hwcur = hwcur
		v.ktoa.HwCur.Store(hwcur) // before hwtail
	}
	if tailMoved {
		v.ktoa.HwTail.Store(hwtail)
		if r.Dir == abi.DirRx {
			r.Stamp(time.Now())
		}
	}
}

// EnableCSB puts the session into CSB mode: syncs are for a loop from now on, TxSync and RxSync
// fail with EBUSY, and Poll says POLLERR. The function gets the state of the bound rings and writes
// it to where the program finds it; its error is returned, and nothing is enabled then. Errors:
// EBUSY while a loop runs, EINVAL unless the session has its rings exclusively. For a session
// without rings it does nothing.
func (s *Session) EnableCSB(write func([]RingState) error) error {
	s.loopMu.Lock()
	defer s.loopMu.Unlock()
	rings := s.all()
	switch {
	case s.closed.Load():
		return s.closedError("enable CSB")
	case s.loop != nil:
		return fault.New(syscall.EBUSY, "enable CSB", s.target.Title(),
			"a loop runs; stop it first")
	case len(rings) == 0:
		return nil
	case s.answer.Flags&abi.NRExclusive == 0:
		return fault.New(syscall.EINVAL, "enable CSB", s.target.Title(),
			"open the port exclusively: others could sync its rings")
	}
	states := make([]RingState, len(rings))
	for i, r := range rings {
		states[i] = stateOf(r)
	}
	if err := write(states); err != nil {
		return err
	}
	s.csb.Store(true)
	return nil
}

func stateOf(r *kring.Ring) RingState {
	r.Hold()
	defer r.Drop()
	head, cur, tail := r.Agreed()
	return RingState{Head: head, Cur: cur, HwCur: r.HwCur.Load(), HwTail: tail}
}

// csbError is what syncs answer in CSB mode.
func (s *Session) csbError(op string) error {
	return fault.New(syscall.EBUSY, op, s.target.Title(),
		"the port is in CSB mode: its rings are a loop's to sync")
}
