//go:build linux

package placement

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// group is a set of threads that wait for each other, and whose place a judge decides.
type group struct {
	mover   *Mover
	key     string
	clients []*Client
	threads []*bound
	judge   judge
	place   place
	core    int // the core of place together

	due    time.Time // of the next sample
	before reading   // at the last sample
}

// reading holds counts up to a time.
type reading struct {
	at             time.Time
	syncs          uint64
	sent, received uint64
	stats          []stat // of the threads
	idle           load
}

func newGroup(m *Mover, f finding) (*group, error) {
	g := &group{mover: m, clients: f.clients}
	var key strings.Builder
	for _, tid := range f.tids {
		s, err := look(tid)
		if err != nil {
			return nil, err
		}
		g.threads = append(g.threads, &bound{thread: s.thread})
		fmt.Fprintf(&key, "%d.%d ", s.tid, s.start)
	}
	g.key = key.String()
	g.before = g.read(time.Now())
	g.due = g.before.at.Add(watchFor)
	return g, nil
}

// past is what is known of a client from its last group.
type past struct {
	key   string
	judge judge
	until time.Time
}

// end restores the threads' masks, and keeps what is known.
func (g *group) end() {
	g.put(free)
	for _, c := range g.clients {
		c.past = past{g.key, g.judge, time.Now()}
	}
}

// resume starts with what is known of the clients.
func (g *group) resume() {
	var last past
	for _, c := range g.clients {
		if c.past.until.After(last.until) {
			last = c.past
		}
	}
	if last.key != "" {
		g.judge = last.judge.resumed(time.Since(last.until), last.key == g.key)
	}
}

// read returns the counts. It omits processor times during a trial, which is too short for them.
func (g *group) read(now time.Time) reading {
	r := reading{at: now}
	for _, c := range g.clients {
		s, rx := c.Frames()
		r.syncs, r.sent, r.received = r.syncs+c.requests(), r.sent+s, r.received+rx
	}
	if g.judge.isTrying() {
		return r
	}
	for _, b := range g.threads {
		s, _ := look(b.tid)
		r.stats = append(r.stats, s)
	}
	r.idle, _ = lookAtCores()
	return r
}

// sample returns what happened between two readings.
func (g *group) sample(before, now reading) sample {
	s := sample{length: now.at.Sub(before.at), syncs: now.syncs - before.syncs,
		frames: now.received - before.received}
	if s.frames == 0 {
		s.frames = now.sent - before.sent
	}
	if before.stats == nil || now.stats == nil || s.length <= 0 {
		return s
	}
	for i := range now.stats {
		s.work += float64(now.stats[i].user-before.stats[i].user) / float64(s.length)
	}
	for core, idle := range now.idle {
		if core != g.core && float64(idle-before.idle[core]) >= 0.5*float64(s.length) {
			s.room = true
		}
	}
	return s
}

// next judges what happened since the last time, and moves the threads accordingly.
func (g *group) next(now time.Time) {
	r := g.read(now)
	tried := g.judge.isTrying()
	s := g.sample(g.before, r)
	to, wait := g.judge.next(s)
	if to != free && g.place == free && !g.prepare(g.before, r) {
		g.judge.giveUp()
		to, wait = free, watchFor
	}
	if err := g.put(to); err != nil {
		g.judge.giveUp()
		g.put(free)
		g.tell(err)
		wait = watchFor
	} else if tried && !g.judge.isTrying() {
		g.tell(nil)
	}
	g.before = g.read(time.Now())
	g.due = g.before.at.Add(wait)
}

func (g *group) tell(err error) {
	m := Move{Core: none, Err: err}
	for _, c := range g.clients {
		m.Ports = append(m.Ports, c.Port)
	}
	for _, b := range g.threads {
		m.TIDs = append(m.TIDs, b.tid)
	}
	if g.place == together {
		m.Core = g.core
	}
	m.Together, m.Free = g.judge.measured()
	g.mover.say(m)
}

// prepare stores the threads' masks and chooses their common core. It returns false if there is no
// choice.
func (g *group) prepare(before, now reading) bool {
	var all unix.CPUSet
	both := g.mover.home
	for _, b := range g.threads {
		if unix.SchedGetaffinity(b.tid, &b.old) != nil || !b.is() {
			return false
		}
		both = common(both, b.old)
		for k := range all {
			all[k] |= b.old[k]
		}
	}
	if both.Count() == 0 || all.Count() < 2 {
		return false
	}
	g.core = choose(cores(&both), before, now)
	return true
}

// choose returns the core with the most time that is idle or used by these threads. If the busiest
// thread's core has little less, it returns that one, so that the thread need not move.
func choose(list []int, before, now reading) int {
	length := float64(now.at.Sub(before.at))
	room := map[int]float64{}
	best, busiest, used := list[0], none, time.Duration(-1)
	for core, idle := range now.idle {
		room[core] = float64(idle-before.idle[core]) / length
	}
	for i, s := range now.stats {
		if i >= len(before.stats) {
			break
		}
		spent := s.all - before.stats[i].all
		room[s.core] += float64(spent) / length
		if spent > used {
			busiest, used = s.core, spent
		}
	}
	for _, core := range list {
		if room[core] > room[best] {
			best = core
		}
	}
	for _, core := range list {
		if core == busiest && room[core] >= room[best]-0.2 {
			return core
		}
	}
	return best
}

// put moves the threads.
func (g *group) put(to place) error {
	g.place = to
	for _, b := range g.threads {
		if to == free {
			b.restore()
		} else if err := b.bind(g.core); err != nil {
			return err
		}
	}
	return nil
}

// bind moves the thread from its old mask to a core. It returns ESTALE if the number belongs to
// another thread now, or if somebody else has changed the mask, whose decision counts.
func (b *bound) bind(core int) error {
	want := b.old
	if b.moved {
		want = b.set
	}
	var now unix.CPUSet
	if err := unix.SchedGetaffinity(b.tid, &now); err != nil {
		return err
	}
	if now != want || !b.is() {
		return syscall.ESTALE
	}
	b.set = only(core)
	if err := unix.SchedSetaffinity(b.tid, &b.set); err != nil {
		return err
	}
	if b.moved = true; !b.is() { // the number was given to another thread before the change
		b.moved = false
		unix.SchedSetaffinity(b.tid, &now)
		return syscall.ESTALE
	}
	return nil
}

// restore restores the thread's mask, unless somebody else has changed it since.
//
// A thread that could run on every core gets a mask without limit. A mask with the cores of now
// would exclude cores that come online later, or that its control group gets later.
func (b *bound) restore() {
	var now unix.CPUSet
	if !b.moved {
		return
	}
	b.moved = false
	if unix.SchedGetaffinity(b.tid, &now) != nil || now != b.set || !b.is() {
		return
	}
	to := b.old
	if online, err := lookAtCores(); err == nil && to.Count() >= len(online) {
		to.Fill()
	}
	unix.SchedSetaffinity(b.tid, &to)
}
