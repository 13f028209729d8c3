//go:build linux

package placement

import (
	"time"

	"golang.org/x/sys/unix"
)

// Follower is a thread that answers others, clients. It is bound to the core to which the clients
// are bound who ask most. Clients that may run anywhere are not followed: the kernel sends a woken
// thread to an idle core, away from the one that woke it, so that the two would chase each other.
//
// All methods are called by that thread. The zero Follower follows nobody.
type Follower struct {
	on       bool
	seen     [8]asker // who asked since the last look
	others   uint64   // requests of clients that found no place there
	requests uint64   // of all, ever
	looked   time.Time

	home unix.CPUSet // where the thread may run when it follows nobody
	core int         // that it is bound to, or none; once on
}

// asker is a client by its thread, 0 of none.
type asker struct {
	tid      int
	requests uint64
}

const (
	lookEvery = 32               // requests, so that time itself costs little to ask
	lookAfter = time.Millisecond // since the last look
)

// Start has the calling thread follow, which is locked to its goroutine (runtime.LockOSThread).
func (f *Follower) Start() {
	var home unix.CPUSet
	err := unix.SchedGetaffinity(0, &home)
	*f = Follower{on: err == nil, home: home, core: none}
}

// Saw counts a request of a client, and looks where the thread should be now and then.
func (f *Follower) Saw(tid int) {
	f.count(tid)
	if f.requests++; f.requests%lookEvery != 0 || !f.on {
		return
	}
	if now := time.Now(); now.Sub(f.looked) >= lookAfter {
		f.looked = now
		f.look()
	}
}

func (f *Follower) count(tid int) {
	for i := range f.seen {
		a := &f.seen[i]
		if a.tid == tid || a.tid == 0 {
			a.tid = tid
			a.requests++
			return
		}
	}
	f.others++
}

// look goes where most of the requests came from since the last look, and forgets them.
func (f *Follower) look() {
	var mask unix.CPUSet
	var v votes
	v.add(none, f.others)
	for _, a := range f.seen {
		if a.tid == 0 {
			break
		}
		core := none
		if unix.SchedGetaffinity(a.tid, &mask) == nil {
			core = coreOf(&mask)
		}
		v.add(core, a.requests)
	}
	f.seen, f.others = [len(f.seen)]asker{}, 0
	f.follow(v.winner(f.core))
}

// votes are requests by the core that their clients are bound to.
type votes struct {
	core [9]int
	n    [9]uint64
	used int
	all  uint64
}

func (v *votes) add(core int, n uint64) {
	v.all += n
	if core == none {
		return
	}
	for i := range v.used {
		if v.core[i] == core {
			v.n[i] += n
			return
		}
	}
	v.core[v.used], v.n[v.used] = core, n
	v.used++
}

// winner is the core with three quarters of all requests, or the one of now, while it has five
// eighths: so two clients on different cores that ask equally often leave the thread free.
func (v *votes) winner(now int) int {
	for i := range v.used {
		n, core := v.n[i], v.core[i]
		if n*4 >= v.all*3 || core == now && n*8 >= v.all*5 {
			return core
		}
	}
	return none
}

// follow binds the thread to a core, if it may run there, or to none.
func (f *Follower) follow(core int) {
	if core == f.core {
		return
	}
	var now unix.CPUSet
	if unix.SchedGetaffinity(0, &now) != nil {
		return
	}
	if f.core == none || now != only(f.core) { // whoever changed it has decided where it may run
		f.home, f.core = now, none
	}
	if core != none && !f.home.IsSet(core) {
		core = none
	}
	to := f.home
	if core != none {
		to = only(core)
	}
	if to == now || unix.SchedSetaffinity(0, &to) == nil {
		f.core = core
	}
}

// Follows says whether the thread is bound to a core because of its clients.
func (f *Follower) Follows() bool { return f.on && f.core != none }

// Leave lets the thread run where it might before it followed anybody.
func (f *Follower) Leave() {
	if f.on {
		f.follow(none)
	}
}
