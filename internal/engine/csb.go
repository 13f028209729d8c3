package engine

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// CSB is where a program in CSB mode and a sync loop exchange what otherwise stands in the rings: an entry for each bound
// ring, tx rings first. How the loop comes to the program's memory is the transport's business.
//
//	program                                         loop
//	cur, then head  ------------ Atok ------------> head, then cur
//	hwtail, then hwcur <-------- Ktoa ------------- hwcur, then hwtail
//	sleeps, sets appl_need_kick ------------------> rings, having published
//	rings, having written head <------------------- sleeps, sets kern_need_kick
//
// Who is about to sleep says so, looks once more, and only then sleeps. All words are atomics, whose loads and stores stay in
// the order in which they are written here, so that one of the two sees the other.
type CSB struct {
	Atok []abi.CSBAtok
	Ktoa []abi.CSBKtoa

	// Pull and Push are nil where the arrays are memory that both sides map. Elsewhere the arrays are copies: Pull brings
	// Atok up to date, Push has the program see Ktoa. Both are full fences, and an entry's words travel together.
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

// EnableCSB puts the binding into CSB mode: syncs are for a loop from now on, TxSync and RxSync fail with EBUSY, and Poll
// says POLLERR. The function gets the state of the bound rings and writes it to where the program finds it; its error is
// returned, and nothing is enabled then. Errors: EBUSY while a loop runs, EINVAL unless the binding has its rings
// exclusively. For a binding without rings it does nothing.
func (b *Binding) EnableCSB(write func([]RingState) error) error {
	b.loopMu.Lock()
	defer b.loopMu.Unlock()
	rings := b.all()
	switch {
	case b.closed.Load():
		return b.closedError("enable CSB")
	case b.loop != nil:
		return fault.New(syscall.EBUSY, "enable CSB", b.entry.title(), "a loop runs; stop it first")
	case len(rings) == 0:
		return nil
	case b.answer.Flags&abi.NRExclusive == 0:
		return fault.New(syscall.EINVAL, "enable CSB", b.entry.title(),
			"open the port exclusively: others could sync its rings")
	}
	states := make([]RingState, len(rings))
	for i, r := range rings {
		states[i] = stateOf(r)
	}
	if err := write(states); err != nil {
		return err
	}
	b.csb.Store(true)
	return nil
}

func stateOf(r *kring.Ring) RingState {
	r.Hold()
	defer r.Drop()
	head, cur, tail := r.Agreed()
	return RingState{Head: head, Cur: cur, HwCur: r.HwCur.Load(), HwTail: tail}
}

// csbError is what syncs answer in CSB mode.
func (b *Binding) csbError(op string) error {
	return fault.New(syscall.EBUSY, op, b.entry.title(),
		"the port is in CSB mode: its rings are a loop's to sync")
}
