package session

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// CSB is the memory in which a program in CSB mode and a sync loop exchange the indexes of rings:
// an entry for each bound ring, tx rings first. The transport makes it accessible.
//
//	program                                         loop
//	cur, then head  ------------ Atok ------------> head, then cur
//	hwtail, then hwcur <-------- Ktoa ------------- hwcur, then hwtail
//	sleeps, sets appl_need_kick ------------------> wakes the program after publishing
//	wakes the loop after writing head <------------ sleeps, sets kern_need_kick
//
// Before it sleeps, each side sets its flag, and checks the other's indexes once more. All words
// are atomics: their loads and stores keep this order, so that at least one side notices the other.
type CSB struct {
	Atok []abi.CSBAtok
	Ktoa []abi.CSBKtoa

	// Pull and Push are nil if both sides map the arrays. Otherwise the arrays are copies: Pull
	// updates Atok from the program's memory, and Push writes Ktoa to that memory. Both are full
	// fences, and copy the words of an entry together.
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

// RingState is the initial content of a ring's entries.
type RingState struct{ Head, Cur, HwCur, HwTail uint32 }

// Write writes the entries. Both sides ask to be woken, because neither is awake yet.
func (s RingState) Write(a *abi.CSBAtok, k *abi.CSBKtoa) {
	a.Head.Store(s.Head)
	a.Cur.Store(s.Cur)
	a.ApplNeedKick.Store(1)
	a.SyncFlags.Store(1)
	k.HwCur.Store(s.HwCur)
	k.HwTail.Store(s.HwTail)
	k.KernNeedKick.Store(1)
}

// csbView is a ring as a program in CSB mode sees it: the ring's CSB entries.
type csbView struct {
	atok             *abi.CSBAtok
	ktoa             *abi.CSBKtoa
	head, cur        uint32 // as read last, valid or not
	hwcur            uint32 // as published last
	moved, tailMoved bool   // in the last sync
}

// begin writes the state of the ring to Ktoa, which may be a copy that is still empty.
func (v *csbView) begin(state RingState) {
	v.hwcur = state.HwCur
	v.ktoa.HwCur.Store(state.HwCur)
	v.ktoa.HwTail.Store(state.HwTail)
	v.ktoa.KernNeedKick.Store(1)
}

// read reads the indexes that the program wrote.
func (v *csbView) read() {
	v.head = v.atok.Head.Load() // before cur
	v.cur = v.atok.Cur.Load()
}

// enter applies the indexes that were read. It ignores indexes that are out of range: the ring
// stops until the program writes valid ones.
func (v *csbView) enter(r *kring.Ring) bool { return r.Accept(v.head, v.cur) }

// leave publishes the result of a sync.
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
			r.Stamp()
		}
	}
}

// EnableCSB puts the session into CSB mode: from now on only a loop syncs its rings, TxSync and
// RxSync fail with EBUSY, and Poll returns POLLERR. write gets the states of the bound rings and
// writes them to the program's memory; if write fails, EnableCSB returns its error and changes
// nothing. Errors: EBUSY while a loop runs, EINVAL unless the session has its rings exclusively.
// For a session without rings it does nothing.
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

// csbError is the error of syncs in CSB mode.
func (s *Session) csbError(op string) error {
	return fault.New(syscall.EBUSY, op, s.target.Title(),
		"the port is in CSB mode: its rings are a loop's to sync")
}
