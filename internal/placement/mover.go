//go:build linux

package placement

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Port is what a client has open.
type Port interface {
	// Joins names what the port shares with others, such as a switch: frames go from one to the
	// other. It is "" while nothing is open.
	Joins() string
	// Frames are how many it has sent and received.
	Frames() (sent, received uint64)
}

// Client is one whose requests are counted, by the threads that make them.
type Client struct {
	Port
	mover   *Mover
	threads [most]struct {
		tid      atomic.Int32 // 0 of a free place
		requests atomic.Uint64
	}
	before [most]uint64 // requests at the last regroup
	past   past
}

const (
	most      = 4    // threads that use one file, of which more are not counted
	mostGroup = 8    // threads of a group that is tried
	rouse     = 1024 // requests after which the mover looks
)

// Saw counts a request of a thread. It costs a few nanoseconds.
func (c *Client) Saw(tid int) {
	if c == nil {
		return
	}
	for i := range c.threads {
		t := &c.threads[i]
		if id := t.tid.Load(); id != int32(tid) && (id != 0 || !t.tid.CompareAndSwap(0, int32(tid))) {
			continue
		}
		if t.requests.Add(1)%rouse == 0 && !c.mover.awake.Load() {
			c.mover.wake()
		}
		return
	}
}

// Mover binds clients to one core that wait for each other, and lets them go again. A nil Mover moves
// nobody.
type Mover struct {
	say   func(Move)
	awake atomic.Bool // no need to wake
	rouse chan struct{}
	stop  chan struct{}
	done  chan struct{}

	home unix.CPUSet // where the threads that answer may run

	mu      sync.Mutex
	clients map[*Client]bool

	groups map[string]*group // by their threads; of the goroutine
}

// Move is what a Mover did with a group.
type Move struct {
	Ports []Port
	TIDs  []int
	Core  int // that they are bound to now, -1 when they may run where they might before
	// What was measured, in frames a second: on one core, and where the kernel puts them.
	Together, Free float64
	Err            error // why the threads cannot be moved
}

// NewMover makes a mover, which says what it did. It binds to cores on which the process may run now:
// elsewhere no thread of it could follow.
func NewMover(say func(Move)) *Mover {
	m := &Mover{say: say, rouse: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		clients: map[*Client]bool{}, groups: map[string]*group{}}
	if unix.SchedGetaffinity(os.Getpid(), &m.home) != nil {
		m.home.Fill()
	}
	go m.run()
	return m
}

// Add makes a client of an open port.
func (m *Mover) Add(p Port) *Client {
	if m == nil {
		return nil
	}
	c := &Client{Port: p, mover: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients[c] = true
	return c
}

// Remove forgets a client. Soon afterwards its threads and those that it was with have their masks
// again.
func (m *Mover) Remove(c *Client) {
	if m == nil {
		return
	}
	m.mu.Lock()
	delete(m.clients, c)
	m.mu.Unlock()
	m.wake()
}

// Close gives all threads their masks back.
func (m *Mover) Close() {
	if m == nil {
		return
	}
	close(m.stop)
	<-m.done
}

func (m *Mover) wake() {
	select {
	case m.rouse <- struct{}{}:
	default:
	}
}

// run sleeps while nothing happens.
func (m *Mover) run() {
	defer close(m.done)
	for {
		select {
		case <-m.stop:
			return
		case <-m.rouse:
		}
		m.awake.Store(true)
		ok := m.attend()
		m.awake.Store(false)
		for _, g := range m.groups {
			g.end()
		}
		clear(m.groups)
		if !ok {
			return
		}
	}
}

// attend looks after the clients until nothing happens any more. It says no when the mover ends.
func (m *Mover) attend() bool {
	m.regroup()
	regroup := time.NewTimer(watchFor)
	defer regroup.Stop()
	due := time.NewTimer(watchFor)
	defer due.Stop()
	for {
		select {
		case <-m.stop:
			return false
		case <-m.rouse: // a client has gone
			m.dropLeft()
		case <-regroup.C:
			if m.regroup(); len(m.groups) == 0 {
				return true
			}
			regroup.Reset(watchFor)
		case <-due.C:
		}
		due.Reset(m.judge(time.Now()))
	}
}

// list is the clients of now.
func (m *Mover) list() []*Client {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*Client, 0, len(m.clients))
	for c := range m.clients {
		list = append(list, c)
	}
	return list
}

// dropLeft ends the groups of clients that are gone.
func (m *Mover) dropLeft() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, g := range m.groups {
		if slices.ContainsFunc(g.clients, func(c *Client) bool { return !m.clients[c] }) {
			g.end()
			delete(m.groups, key)
		}
	}
}

// regroup finds out who is busy with whom. A group whose threads are others now is another.
func (m *Mover) regroup() {
	found := map[string]*group{}
	for _, f := range findGroups(m.list()) {
		if len(f.tids) > mostGroup {
			continue
		}
		g, err := newGroup(m, f)
		if err != nil {
			continue // a thread has ended meanwhile
		}
		if old := m.groups[g.key]; old != nil {
			g = old
		}
		found[g.key] = g
	}
	for key, g := range m.groups {
		if found[key] == nil {
			g.end()
		}
	}
	for key, g := range found {
		if m.groups[key] == nil {
			g.resume()
		}
	}
	m.groups = found
}

// finding is a group by its numbers.
type finding struct {
	clients []*Client
	tids    []int
}

// findGroups sorts clients that have done something since the last call: in one group are those
// whose ports are joined, and those that one thread serves.
func findGroups(clients []*Client) (all []finding) {
	byName := map[string]*finding{}
	var order []*finding
	for _, c := range clients {
		tids, joins := c.active(), c.Joins()
		if len(tids) == 0 || joins == "" {
			continue
		}
		f := &finding{[]*Client{c}, tids}
		order = append(order, f)
		names := []string{joins}
		for _, tid := range tids {
			names = append(names, fmt.Sprint("thread ", tid))
		}
		for _, name := range names {
			if other := byName[name]; other != nil && other != f {
				f.clients = append(f.clients, other.clients...)
				f.tids = append(f.tids, other.tids...)
				other.clients = nil
				for n, o := range byName {
					if o == other {
						byName[n] = f
					}
				}
			}
			byName[name] = f
		}
	}
	for _, f := range order {
		if f.clients != nil {
			slices.Sort(f.tids)
			f.tids = slices.Compact(f.tids)
			all = append(all, *f)
		}
	}
	return all
}

// active are the threads that made at least a tenth of the client's requests since the last call.
// Those that made none leave their place to others.
func (c *Client) active() (tids []int) {
	var made [most]uint64
	var all uint64
	for i := range c.threads {
		n := c.threads[i].requests.Load()
		made[i], c.before[i] = n-c.before[i], n
		all += made[i]
	}
	for i, n := range made {
		tid := c.threads[i].tid.Load()
		switch {
		case n == 0:
			c.threads[i].tid.CompareAndSwap(tid, 0)
		case n*10 >= all && tid > 0:
			tids = append(tids, int(tid))
		}
	}
	return tids
}

// requests are all that the client made.
func (c *Client) requests() (n uint64) {
	for i := range c.threads {
		n += c.threads[i].requests.Load()
	}
	return n
}

// judge has the groups looked at whose time has come, one trial at a time, and says how long that
// can wait.
func (m *Mover) judge(now time.Time) time.Duration {
	trial := slices.IndexFunc(m.sorted(), func(g *group) bool { return g.judge.isTrying() }) >= 0
	wait := watchFor
	for _, g := range m.sorted() {
		if !now.Before(g.due) {
			if trial && !g.judge.isTrying() {
				g.due = now.Add(measure)
			} else {
				g.next(now)
				trial = trial || g.judge.isTrying()
			}
		}
		wait = min(wait, max(0, g.due.Sub(now)))
	}
	return wait
}

func (m *Mover) sorted() []*group {
	list := make([]*group, 0, len(m.groups))
	for _, g := range m.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *group) int { return strings.Compare(a.key, b.key) })
	return list
}

// bound is a thread and its mask.
type bound struct {
	thread
	old   unix.CPUSet // its own
	set   unix.CPUSet // ours
	moved bool
}

// is says whether the number is still that thread's.
func (b *bound) is() bool {
	s, err := look(b.tid)
	return err == nil && s.start == b.start
}
