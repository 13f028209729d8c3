//go:build linux

package device

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

const (
	// stressSeedEnv has the seed of the first client, to repeat a run.
	stressSeedEnv = "NETMAP_STRESS_SEED"
	// stressAtOnce is the number of clients at once.
	stressAtOnce = 5
	// requestPatience is the time after which a request counts as hanging, much longer than any
	// takes.
	requestPatience = 30 * time.Second
)

// Clients make valid and invalid requests of all kinds, several at once, on a few ports that they
// all share, and many clients are killed. No request hangs, and nothing is left of the clients.
//
// A polite client writes random values into rings, but does not change buffer indices. When all of
// them are gone every buffer is free again, although the test holds a port so that the region is
// not reset. Hostile clients lose buffers, so after them the region has to be reset.
func TestStress(t *testing.T) {
	for _, behaviour := range []string{"polite", "hostile"} {
		t.Run(behaviour, func(t *testing.T) {
			s := newStress(t, behaviour)
			s.run(2 * stressAtOnce) // makes what the daemon keeps
			descriptors, goroutines := countOpen()
			s.run(rounds(20, 200))
			eventually(t, "no descriptor and no goroutine more than after the first clients",
				func() bool {
					d, g := countOpen()
					return d <= descriptors && g <= goroutines
				})
			s.report()
			s.transfer(20000, at("x{1"), true, at("x}1"))
			s.hosts.wantOwnStack(t)
		})
	}
}

// stress is a daemon under stress.
type stress struct {
	*node
	hosts     hosts
	behaviour string
	seed      uint64
	clients   int
	killed    int
	slowest   time.Duration
	slow      string

	mu        sync.Mutex
	good, bad [doKinds]uint64
}

func newStress(t *testing.T, behaviour string) *stress {
	t.Helper()
	s := &stress{node: newNode(t), hosts: newHosts(t), behaviour: behaviour,
		seed: rand.Uint64() >> 32}
	s.requireXDP(s.hosts)
	if text := os.Getenv(stressSeedEnv); text != "" {
		var err error
		if s.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", stressSeedEnv, s.seed)
	return s
}

// run runs that many clients to their end, and checks that nothing is left of them.
func (s *stress) run(clients int) {
	s.t.Helper()
	e := s.d.Engine()
	if s.behaviour == "polite" {
		watch, err := e.Register("vale63:watch",
			abi.Register{Mode: abi.RegAllNIC, TxSlots: 4, RxSlots: 4})
		if err != nil {
			s.t.Fatal(err)
		}
		defer watch.Close()
	}
	before := e.Region().Usage()
	seeds := make(chan uint64)
	var slots sync.WaitGroup
	for range stressAtOnce {
		slots.Go(func() {
			for seed := range seeds {
				s.client(seed)
			}
		})
	}
	for i := range clients {
		seeds <- s.seed + uint64(s.clients+i)
	}
	close(seeds)
	slots.Wait()
	s.clients += clients
	s.sweep(e)
	usage := e.Region().Usage
	for end := time.Now().Add(patience); usage() != before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("after clients up to %d: %+v, before %+v", s.seed+uint64(s.clients)-1,
				usage(), before)
		}
	}
}

// client runs one client until it ends or is killed.
func (s *stress) client(seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1<<32))
	memfd, err := unix.MemfdCreate("beat", unix.MFD_CLOEXEC)
	if err != nil {
		s.t.Error(err)
		return
	}
	shared := os.NewFile(uintptr(memfd), "beat")
	defer shared.Close()
	shared.Truncate(beatSize)
	b, err := unix.Mmap(memfd, 0, beatSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer unix.Munmap(b)
	where := s.hosts.a
	if rnd.IntN(2) == 0 {
		where = s.hosts.b
	}
	life, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	killed := rnd.IntN(2) == 0
	if killed {
		time.AfterFunc(20*time.Millisecond+time.Duration(rnd.IntN(500))*time.Millisecond, cancel)
	}
	cmd := exec.CommandContext(life, "/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", stressEnv, s.path, seed, s.behaviour))
	cmd.ExtraFiles = []*os.File{shared}
	var output strings.Builder
	cmd.Stderr = &output
	where.Do(func() { err = cmd.Start() })
	if err != nil {
		s.t.Error(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.watch(seed, cmd.Process.Pid, beatIn(b), ended, life)
	if err := <-ended; err != nil && life.Err() == nil {
		s.t.Errorf("client %d: %v\n%s", seed, err, output.String())
	}
	s.tally(beatIn(b), killed && life.Err() != nil)
}

// watch waits until the client's process has ended. If one of its requests hangs, or the process
// after it was killed, watch ends the whole program with all stacks, which show what the daemon is
// doing.
func (s *stress) watch(seed uint64, pid int, b *beat, ended chan error, life context.Context) {
	var dead time.Time
	for {
		select {
		case err := <-ended:
			ended <- err
			return
		case <-time.After(5 * time.Millisecond):
		}
		for i := range b.threads {
			if since := b.threads[i].since.Load(); since != 0 {
				s.took(time.Duration(monotonic()-since),
					fmt.Sprintf("%s of client %d", doNames[b.threads[i].what.Load()%doKinds], seed),
					pid)
			}
		}
		switch {
		case life.Err() == nil:
		case dead.IsZero():
			dead = time.Now()
		default:
			s.took(time.Since(dead), fmt.Sprintf("the end of client %d", seed), pid)
		}
	}
}

// took records the time of the slowest request.
func (s *stress) took(d time.Duration, what string, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d > s.slowest {
		s.slowest, s.slow = d, what
	}
	if d < requestPatience {
		return
	}
	stacks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stack", pid))
	for _, path := range stacks {
		text, _ := os.ReadFile(path)
		fmt.Fprintf(os.Stderr, "%s\n%s", path, text)
	}
	unix.Unmount(s.path, unix.MNT_DETACH)
	debug.SetTraceback("all") // the daemon runs in this process
	panic(fmt.Sprintf("a request hangs: %s takes %v; run again with %s=%d", what, d, stressSeedEnv,
		s.seed))
}

// tally adds a client's requests to the statistics.
func (s *stress) tally(b *beat, killed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for kind := range doKinds {
		s.good[kind] += b.good[kind].Load()
		s.bad[kind] += b.bad[kind].Load()
	}
	if killed {
		s.killed++
	}
}

// sweep removes persistent and attached ports, which outlive the clients that made them.
func (s *stress) sweep(e *engine.Engine) {
	for _, ns := range []*testutil.NS{s.hosts.a, s.hosts.b} {
		ns.Do(func() {
			for range 2 { // a port may be attached twice
				for _, p := range e.ValePorts() {
					e.StopPolling(engine.Here, p.Name)
					e.Detach(engine.Here, p.Name)
				}
			}
			links, err := netlink.LinkList()
			for _, l := range links {
				if name := l.Attrs().Name; name != "lo" && name != nic {
					err = e.DelIf(engine.Here, name)
				}
			}
			if err != nil {
				s.t.Error(err)
			}
		})
	}
	watched := func(p status.Port) bool { return p.Name == "vale63:watch" }
	eventually(s.t, "no port is left", func() bool {
		return len(slices.DeleteFunc(e.Status().Ports, watched)) == 0
	})
	for _, ns := range []*testutil.NS{s.hosts.a, s.hosts.b} {
		ns.Do(func() {
			if links, err := netlink.LinkList(); err != nil || len(links) != 2 {
				s.t.Errorf("interfaces are left: %v %v", links, err)
			}
		})
	}
}

// report logs the statistics. After many requests it checks that every kind of request has
// succeeded at least once, because errors alone would prove little.
func (s *stress) report() {
	s.t.Helper()
	var all uint64
	var b strings.Builder
	for kind, name := range doNames {
		fmt.Fprintf(&b, " %s %d/%d", name, s.good[kind], s.good[kind]+s.bad[kind])
		all += s.good[kind] + s.bad[kind]
		if s.good[kind] == 0 && kind != doUnknown && s.clients > 100 {
			s.t.Errorf("no %s succeeded", name)
		}
	}
	s.t.Logf("%d clients, %d killed; %d requests, the slowest %v (%s); successful of all:%s",
		s.clients, s.killed, all, s.slowest, s.slow, &b)
}
