package mem

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/internal/shm"
)

// lazy is a region with one block of interfaces and rings, and 64 blocks of buffers.
var lazy = Config{If: Pool{64, 1024}, Ring: Pool{64, 32768 - 1024}, Buf: Pool{65536, 2048}}

// resident returns how much memory the region's file has, according to the kernel.
func resident(t *testing.T, r *Region) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Fstat(r.FD(), &st); err != nil {
		t.Fatal(err)
	}
	return uint64(st.Blocks) * 512
}

func setKeepFor(t *testing.T, d time.Duration) {
	was := keepFor
	keepFor = d
	t.Cleanup(func() { keepFor = was })
}

// TestMemoryFollowsTheNeed allocates and frees random objects. Exactly the blocks in use have
// memory.
func TestMemoryFollowsTheNeed(t *testing.T) {
	setKeepFor(t, time.Hour) // the test calls tidy itself
	r := newRegion(t, lazy)
	rnd := rand.New(rand.NewPCG(1, 2))
	if r.Taken() != 0 || resident(t, r) != 0 {
		t.Errorf("new region: %d bytes taken, %d resident", r.Taken(), resident(t, r))
	}
	var held [][]uint32
	for step := range 60 {
		if n := len(held); n > 0 && rnd.IntN(5) < 2 {
			i := rnd.IntN(n)
			for _, b := range held[i] {
				r.FreeBuf(b)
			}
			held[i], held = held[n-1], held[:n-1]
		} else if bufs, err := r.NewBufs("test", 1+rnd.IntN(4000)); err == nil {
			held = append(held, bufs)
		}
		r.tidy()
		blocks := map[uint64]bool{}
		for _, bufs := range held {
			for _, b := range bufs {
				blocks[r.pools[bufPool].at(b)/shm.HugePage] = true
				blocks[(r.pools[bufPool].at(b)+2047)/shm.HugePage] = true
			}
		}
		if want := uint64(len(blocks)) * shm.HugePage; r.Taken() != want || resident(t, r) != want {
			t.Fatalf("step %d: %d bytes taken, %d resident, want %d", step, r.Taken(), resident(t, r), want)
		}
	}
}

// TestTidyKeepsWhatIsInUse tests that buffers keep their contents while others are freed.
func TestTidyKeepsWhatIsInUse(t *testing.T) {
	setKeepFor(t, time.Hour)
	r := newRegion(t, lazy)
	a, _ := r.NewBufs("a", 3000)
	b, _ := r.NewBufs("b", 3000)
	for i, buf := range a {
		r.Bufs.SetLink(buf, uint32(i))
	}
	for _, buf := range b {
		r.FreeBuf(buf)
	}
	r.tidy()
	c, _ := r.NewBufs("c", 5000)
	for _, buf := range c {
		r.Bufs.SetLink(buf, 1<<30)
	}
	for i, buf := range a {
		if got := r.Bufs.Link(buf); got != uint32(i) {
			t.Fatalf("buffer %d holds %d, want %d", buf, got, i)
		}
	}
}

func TestPin(t *testing.T) {
	setKeepFor(t, time.Hour)
	r := newRegion(t, lazy)
	_, offset, _ := r.BufPool()
	all := roundUp(r.size) - offset/shm.HugePage*shm.HugePage
	for range 2 {
		if err := r.Pin("test"); err != nil {
			t.Fatal(err)
		}
	}
	r.Unpin()
	r.tidy()
	if resident(t, r) != all {
		t.Errorf("pinned: %d bytes resident, want %d", resident(t, r), all)
	}
	r.Unpin()
	r.tidy()
	if resident(t, r) != 0 {
		t.Errorf("not pinned, not in use: %d bytes resident", resident(t, r))
	}
}

func TestMemoryGoesByItself(t *testing.T) {
	setKeepFor(t, 10*time.Millisecond)
	r := newRegion(t, lazy)
	f, err := r.NewIf("test", 2)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(30 * time.Millisecond)
	if r.Taken() == 0 {
		t.Error("memory in use was given back")
	}
	r.FreeIf(f)
	for end := time.Now().Add(5 * time.Second); r.Taken() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes were not given back", r.Taken())
		}
	}
}

// TestRoom tests that a request fails before the kernel would end the process for want of memory.
func TestRoom(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		files map[string]string
		most  uint64 // the most that is granted, in MiB
		all   uint64 // all memory, in MiB
	}{
		{"nothing known", nil, 1 << 40, 0},
		{"machine", map[string]string{
			"proc/meminfo": "MemTotal: 2097152 kB\nMemAvailable:  102400 kB\nSwapFree: 1024 kB\n",
		}, 101 - 16, 2048},
		{"version 2", map[string]string{"proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "1\n",
			"sys/fs/cgroup/a/memory.max": "209715200\n", "sys/fs/cgroup/a/memory.current": "157286400\n",
			"sys/fs/cgroup/a/memory.stat": "anon 9\ninactive_file 1048576\nactive_file 1048576\n"},
			52 - 16, 200},
		{"version 1", map[string]string{"proc/self/cgroup": "3:cpu:/x\n2:memory:/y\n",
			"sys/fs/cgroup/memory/y/memory.limit_in_bytes": "104857600\n",
			"sys/fs/cgroup/memory/y/memory.usage_in_bytes": "73400320\n"}, 30 - 16, 100},
		{"over the limit", map[string]string{"proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "1048576\n", "sys/fs/cgroup/memory.current": "2097152\n"}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range c.files {
				file := filepath.Join(root, name)
				os.MkdirAll(filepath.Dir(file), 0o700)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := roomIn(root, c.most*mib); c.most > 0 && err != nil {
				t.Errorf("%d MiB: %v", c.most, err)
			}
			if c.files != nil {
				wantErrno(t, roomIn(root, (c.most+1)*mib), syscall.ENOMEM, "left")
			}
			if got := memoryIn(root); got != c.all*mib {
				t.Errorf("memory of %d MiB, want %d", got>>20, c.all)
			}
		})
	}
}
