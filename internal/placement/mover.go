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

// Port is the port that a client has open.
type Port interface {
	// Joins names what the port shares with others, such as a switch: frames go from one to the
	// other. It is "" if no port is open.
	Joins() string
	// Frames returns how many frames the client has sent and received.
	Frames() (sent, received uint64)
}

// Client counts a client's requests, by the threads that make them.
type Client struct {
	Port
	mover   *Mover
	threads [most]struct {
		tid      atomic.Int32 // 0 for a free place
		requests atomic.Uint64
	}
	before [most]uint64 // requests at the last regroup
	past   past
}

const (
	most      = 4    // counted threads of one file; more are ignored
	mostGroup = 8    // threads of a group that may be tried
	wakeEvery = 1024 // requests that wake a sleeping mover
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
		if t.requests.Add(1)%wakeEvery == 0 && !c.mover.awake.Load() {
			c.mover.wake()
		}
		return
	}
}

// Mover binds clients that wait for each other to one core, and frees them again. A nil Mover moves
// nobody.
type Mover struct {
	say   func(Move)
	awake atomic.Bool // Saw need not wake the mover
	woken chan struct{}
	stop  chan struct{}
	done  chan struct{}

	home unix.CPUSet // where the answering threads may run

	mu      sync.Mutex
	clients map[*Client]bool

	groups map[string]*group // by their threads; only for the mover's goroutine
}

// Move is what a Mover did with a group.
type Move struct {
	Ports []Port
	TIDs  []int
	Core  int // to which the threads are bound, -1 if they have their own masks
	// Measured frames a second: on one core, and where the kernel puts the threads.
	Together, Free float64
	Err            error // why the threads cannot be moved
}

// NewMover makes a mover, which reports its moves to say. It binds only to cores on which the
// process may run now, because no thread of the process could follow to others.
func NewMover(say func(Move)) *Mover {
	m := &Mover{
		say: say, woken: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		clients: map[*Client]bool{}, groups: map[string]*group{},
	}
	if unix.SchedGetaffinity(os.Getpid(), &m.home) != nil {
		m.home.Fill()
	}
	go m.run()
	return m
}

// Add returns a client for an open port.
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

// Remove removes a client. Soon afterwards the threads of its group have their own masks again.
func (m *Mover) Remove(c *Client) {
	if m == nil {
		return
	}
	m.mu.Lock()
	delete(m.clients, c)
	m.mu.Unlock()
	m.wake()
}

// Close restores the masks of all threads.
func (m *Mover) Close() {
	if m == nil {
		return
	}
	close(m.stop)
	<-m.done
}

func (m *Mover) wake() {
	select {
	case m.woken <- struct{}{}:
	default:
	}
}

// run sleeps while no client is busy.
func (m *Mover) run() {
	defer close(m.done)
	for {
		select {
		case <-m.stop:
			return
		case <-m.woken:
		}
		m.awake.Store(true)
		ok := m.moveGroups()
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

// moveGroups moves groups until no client is busy. It returns false when the mover ends.
func (m *Mover) moveGroups() bool {
	m.regroup()
	regroup := time.NewTimer(watchFor)
	defer regroup.Stop()
	due := time.NewTimer(watchFor)
	defer due.Stop()
	for {
		select {
		case <-m.stop:
			return false
		case <-m.woken: // a client was removed
			m.dropRemoved()
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

// list returns the present clients.
func (m *Mover) list() []*Client {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*Client, 0, len(m.clients))
	for c := range m.clients {
		list = append(list, c)
	}
	return list
}

// dropRemoved ends the groups of removed clients.
func (m *Mover) dropRemoved() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, g := range m.groups {
		if slices.ContainsFunc(g.clients, func(c *Client) bool { return !m.clients[c] }) {
			g.end()
			delete(m.groups, key)
		}
	}
}

// regroup finds the groups of busy clients. A group with other threads is a new one.
func (m *Mover) regroup() {
	found := map[string]*group{}
	for _, f := range findGroups(m.list()) {
		if len(f.tids) > mostGroup {
			continue
		}
		g, err := newGroup(m, f)
		if err != nil {
			continue // a thread has ended
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

// finding is a group with the numbers of its threads.
type finding struct {
	clients []*Client
	tids    []int
}

// findGroups groups the clients that have done something since the last call: clients whose ports
// are joined, and clients that one thread serves.
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

// active returns the threads that made at least a tenth of the client's requests since the last
// call. Threads that made none lose their places.
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

// requests returns how many requests the client made.
func (c *Client) requests() (n uint64) {
	for i := range c.threads {
		n += c.threads[i].requests.Load()
	}
	return n
}

// judge judges the groups that are due, with one trial at a time. It returns how long the next call
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

// bound is a thread and its masks.
type bound struct {
	thread
	old   unix.CPUSet // the thread's own
	set   unix.CPUSet // the one that we set
	moved bool
}

// is reports whether the number still belongs to that thread.
func (b *bound) is() bool {
	s, err := look(b.tid)
	return err == nil && s.start == b.start
}
