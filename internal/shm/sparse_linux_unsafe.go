//go:build linux

package shm

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Sparse is an anonymous file to which memory is allocated in blocks of size HugePage. Others may
// map all of the file at any time. In Bytes, blocks without memory are replaced by a dummy block,
// the same one for all. So every offset can be used: that costs no memory and cannot fail, but what
// is written there is lost.
//
// The methods are called one at a time. The memory may be used meanwhile.
type Sparse struct {
	fd     int
	none   int    // the file of the dummy block
	bytes  []byte // whole blocks
	blocks []block
	taken  int // blocks with memory
	small  int // blocks with memory that are no huge page
	huge   bool
}

type block uint8

const (
	absent block = iota
	small        // in ordinary pages
	large        // a huge page
)

// NewSparse makes a file of size bytes, rounded up to whole blocks, without memory. If huge is set,
// it asks the kernel for huge pages. Getting none is no error; Huge tells.
func NewSparse(name string, size int, huge bool) (*Sparse, error) {
	size = (size + HugePage - 1) &^ (HugePage - 1)
	s := &Sparse{fd: -1, none: -1, huge: huge && mayBeHuge(KernelHugePage()),
		blocks: make([]block, size/HugePage)}
	var err error
	if s.fd, err = newFile(name); err == nil {
		err = unix.Ftruncate(s.fd, int64(size))
	}
	if err == nil {
		s.none, err = makeStandIn(name)
	}
	if err == nil {
		s.bytes, err = reserve(size)
	}
	if err == nil {
		err = s.hide(0, len(s.blocks))
	}
	if err != nil {
		s.Close()
		return nil, fault.Wrap(err, "create shared memory", name, "%d bytes; configure a smaller region",
			size)
	}
	return s, nil
}

// newFile is a variable for tests that need files with too little room.
var newFile = func(name string) (int, error) { return unix.MemfdCreate(name, unix.MFD_CLOEXEC) }

// Bytes returns the memory.
func (s *Sparse) Bytes() []byte { return s.bytes }

// FD is the descriptor of the file, for others to map.
func (s *Sparse) FD() int { return s.fd }

// Taken is the number of bytes that have memory.
func (s *Sparse) Taken() uint64 { return uint64(s.taken) * HugePage }

// Huge reports whether all memory is in huge pages. Then each block is physically contiguous.
func (s *Sparse) Huge() bool { return s.small == 0 }

// Missing is the number of bytes that Take(from, to) would allocate.
func (s *Sparse) Missing(from, to uint64) (bytes uint64) {
	for i := from / HugePage; i*HugePage < to; i++ {
		if s.blocks[i] == absent {
			bytes += HugePage
		}
	}
	return bytes
}

// Take allocates memory for all blocks with bytes in [from, to). Afterwards, using them allocates
// nothing and causes no page fault in this process. ENOMEM leaves everything unchanged.
func (s *Sparse) Take(from, to uint64) error {
	first, end := int(from/HugePage), int((to+HugePage-1)/HugePage)
	was := append([]block(nil), s.blocks[first:end]...)
	if err := eachRun(first, end, func(i int) bool { return was[i-first] == absent },
		s.show); err != nil {
		eachRun(first, end, func(i int) bool { return was[i-first] != s.blocks[i] }, s.drop)
		return fault.New(unix.ENOMEM, "take memory", "", "the kernel has no %d MiB left: %v",
			s.Missing(from, to)>>20, err)
	}
	if s.huge && s.small > 0 {
		eachRun(first, end, func(i int) bool { return s.blocks[i] == small }, s.collapse)
	}
	return nil
}

// Give returns the memory of whole blocks in [from, to) to the kernel, except of those for which
// keep returns true.
func (s *Sparse) Give(from, to uint64, keep func(block int) bool) error {
	first, end := int((from+HugePage-1)/HugePage), int(to/HugePage)
	return eachRun(first, end, func(i int) bool { return s.blocks[i] != absent && !keep(i) }, s.drop)
}

// eachRun calls f for each longest run of numbers in [first, end) for which is returns true. An
// error ends it.
func eachRun(first, end int, is func(int) bool, f func(i, j int) error) error {
	for i := first; i < end; i++ {
		j := i
		for j < end && is(j) {
			j++
		}
		if j > i {
			if err := f(i, j); err != nil {
				return err
			}
			i = j
		}
	}
	return nil
}

// show allocates memory for absent blocks in another place, and then moves the mapping. So nobody
// sees a mapped block without memory.
func (s *Sparse) show(i, j int) error {
	at, size := uintptr(i)*HugePage, (j-i)*HugePage
	stage, err := reserve(size)
	if err != nil {
		return err
	}
	kind, err := small, mapOver(stage, s.fd, int64(at))
	if err == nil {
		kind, err = populateAll(stage, s.fd, int64(at), s.huge)
	}
	if err == nil {
		_, err = unix.MremapPtr(start(stage), uintptr(size), start(s.bytes[at:]), uintptr(size),
			unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED)
	}
	if err != nil {
		unmap(stage)
		return errors.Join(err, s.hide(i, j), s.punch(i, j))
	}
	s.mark(i, j, kind)
	return nil
}

// drop undoes show.
func (s *Sparse) drop(i, j int) error {
	for k := i; k < j; k++ {
		if err := s.hide(k, k+1); err != nil { // fails if the process has too many mappings
			return errors.Join(err, s.punch(i, k))
		}
		s.mark(k, k+1, absent)
	}
	return s.punch(i, j)
}

// collapse makes huge pages of blocks for which the kernel had none when they were taken. The
// blocks may be in use.
func (s *Sparse) collapse(i, j int) error {
	if unix.Madvise(s.bytes[i*HugePage:j*HugePage], unix.MADV_COLLAPSE) == nil {
		s.mark(i, j, large)
	}
	return nil
}

func (s *Sparse) mark(i, j int, now block) {
	for k := i; k < j; k++ {
		was := s.blocks[k]
		s.blocks[k] = now
		s.taken += count(now != absent) - count(was != absent)
		s.small += count(now == small) - count(was == small)
	}
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// hide maps the dummy block in the place of blocks.
func (s *Sparse) hide(i, j int) (err error) {
	for ; err == nil && i < j; i++ {
		err = mapOver(s.bytes[i*HugePage:(i+1)*HugePage], s.none, 0)
	}
	return err
}

// punch frees the pages of blocks in the file.
func (s *Sparse) punch(i, j int) error {
	const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	return unix.Fallocate(s.fd, mode, int64(i)*HugePage, int64(j-i)*HugePage)
}

// Close unmaps the memory and closes the file. Views of the memory must not be used afterwards.
func (s *Sparse) Close() error {
	var errs []error
	if s.bytes != nil {
		errs = append(errs, unmap(s.bytes))
	}
	for _, fd := range []int{s.fd, s.none} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	s.bytes, s.fd, s.none = nil, -1, -1
	return errors.Join(errs...)
}

// makeStandIn makes the file of the dummy block.
func makeStandIn(name string) (fd int, err error) {
	if fd, err = unix.MemfdCreate(name+"-none", unix.MFD_CLOEXEC); err != nil {
		return -1, err
	}
	err = unix.Ftruncate(fd, HugePage)
	if err == nil {
		var b []byte
		if b, err = reserve(HugePage); err == nil {
			if err = mapOver(b, fd, 0); err == nil {
				_, err = populate(b, fd, 0, true)
			}
			unmap(b)
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// reserve reserves address space that starts at a multiple of HugePage, as huge pages require.
func reserve(size int) ([]byte, error) {
	room := uintptr(size) + HugePage
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	at, err := unix.MmapPtr(-1, 0, nil, room, unix.PROT_NONE, flags)
	if err != nil {
		return nil, err
	}
	lead := -uintptr(at) & (HugePage - 1)
	from := unsafe.Add(at, lead)
	if lead > 0 {
		unix.MunmapPtr(at, lead)
	}
	if rest := room - lead - uintptr(size); rest > 0 {
		unix.MunmapPtr(unsafe.Add(from, size), rest)
	}
	return unsafe.Slice((*byte)(from), size), nil
}

// mapOver maps a part of a file in the place of b.
func mapOver(b []byte, fd int, offset int64) error {
	const access, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_FIXED
	_, err := unix.MmapPtr(fd, offset, start(b), uintptr(len(b)), access, flags)
	return err
}

func start(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func unmap(b []byte) error {
	return unix.MunmapPtr(start(b), uintptr(len(b)))
}

// populateAll is populate with several threads if there is much to do: the kernel clears all pages.
func populateAll(b []byte, fd int, offset int64, huge bool) (block, error) {
	const worth = 16 * HugePage
	n := min(runtime.GOMAXPROCS(0), max(len(b)/worth, 1))
	part := (len(b)/n + HugePage - 1) &^ (HugePage - 1)
	kinds, errs := make([]block, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		from, to := min(i*part, len(b)), min((i+1)*part, len(b))
		all.Go(func() { kinds[i], errs[i] = populate(b[from:to], fd, offset+int64(from), huge) })
	}
	all.Wait()
	return slices.Min(kinds), errors.Join(errs...)
}

// populate allocates all pages of a mapping. MADV_COLLAPSE makes huge pages whatever the system's
// policy for shared memory is, if one page of each exists. It fails before Linux 6.1, and if no
// huge page is free.
func populate(b []byte, fd int, offset int64, huge bool) (block, error) {
	if len(b) == 0 {
		return large, nil
	}
	for i := 0; huge && i < len(b); i += HugePage {
		if err := touch(b[i:i+1], fd, offset+int64(i)); err != nil {
			return absent, err
		}
	}
	kind := small
	if huge && unix.Madvise(b, unix.MADV_COLLAPSE) == nil {
		kind = large
	}
	return kind, touch(b, fd, offset)
}

// touch allocates the pages of a mapping. Unlike writing to them, it returns an error if there is
// no memory.
func touch(b []byte, fd int, offset int64) error {
	if err := unix.Madvise(b, unix.MADV_POPULATE_WRITE); err != unix.EINVAL {
		return err
	}
	return touchOld(b, fd, offset)
}

// touchOld is touch for kernels before 5.14.
func touchOld(b []byte, fd int, offset int64) error {
	if err := unix.Fallocate(fd, 0, offset, int64(len(b))); err != nil {
		return err
	}
	for i := 0; i < len(b); i += unix.Getpagesize() {
		b[i] = 0
	}
	return nil
}
