//go:build linux

package placement

import (
	"time"

	"golang.org/x/sys/unix"
)

// Follower is a thread that answers other threads, its clients. It binds itself to the core to
// which the clients with the most requests are bound. It does not follow clients that may run
// anywhere: the kernel puts a woken thread on an idle core, away from the thread that woke it, so
// that both would move all the time.
//
// Only that thread calls the methods. The zero Follower follows nobody.
type Follower struct {
	on       bool
	seen     [8]asker // clients since the last look
	others   uint64   // requests of clients for which seen had no room
	requests uint64   // all requests
	looked   time.Time

	home unix.CPUSet // where the thread may run if it follows nobody
	core int         // the core to which the thread is bound, or none; valid if on
}

// asker is a client, by its thread. It is empty if tid is 0.
type asker struct {
	tid      int
	requests uint64
}

const (
	lookEvery = 32               // requests, because reading the time costs something
	lookAfter = time.Millisecond // since the last look
)

// Start makes the calling thread follow its clients. The thread is locked to its goroutine
// (runtime.LockOSThread).
func (f *Follower) Start() {
	var home unix.CPUSet
	err := unix.SchedGetaffinity(0, &home)
	*f = Follower{on: err == nil, home: home, core: none}
}

// Saw counts a request of a client, and now and then decides where the thread runs.
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

// look follows the clients that made most requests since the last look, and clears the counts.
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

// votes count requests by the core to which their clients are bound.
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

// winner returns the core with three quarters of all requests, or the present core if it has five
// eighths. So two clients on different cores that ask equally often leave the thread free.
func (v *votes) winner(now int) int {
	for i := range v.used {
		n, core := v.n[i], v.core[i]
		if n*4 >= v.all*3 || core == now && n*8 >= v.all*5 {
			return core
		}
	}
	return none
}

// follow binds the thread to a core, if it may run there, or frees it for none.
func (f *Follower) follow(core int) {
	if core == f.core {
		return
	}
	var now unix.CPUSet
	if unix.SchedGetaffinity(0, &now) != nil {
		return
	}
	if f.core == none || now != only(f.core) { // another program has decided where the thread may run
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

// Follows reports whether the thread is bound to a core because of its clients.
func (f *Follower) Follows() bool { return f.on && f.core != none }

// Leave lets the thread run where it could run before it followed a client.
func (f *Follower) Leave() {
	if f.on {
		f.follow(none)
	}
}
