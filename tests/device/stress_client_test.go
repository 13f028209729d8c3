//go:build linux

package device

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// stressEnv tells the test's binary that it is a client of TestStress: "path seed behaviour".
const stressEnv = "NETMAP_TEST_STRESS"

// Kinds of requests, for statistics.
const (
	doOpen = iota
	doClose
	doRegister
	doLegacyRegister
	doLegacyInfo
	doUnknown
	doPortInfo
	doPoolsInfo
	doAttach
	doDetach
	doList
	doHeader
	doNewIf
	doDelIf
	doPolling
	doStart
	doStop
	doCSB
	doTxSync
	doRxSync
	doPoll
	doMap
	doScribble
	doFrames
	doKinds
)

var doNames = [doKinds]string{"open", "close", "register", "legacy register", "legacy info",
	"unknown ioctl", "port info", "pools info",
	"attach", "detach", "list", "header", "newif", "delif", "polling", "loop start", "loop stop",
	"csb", "txsync", "rxsync", "poll", "mmap",
	"scribble", "frames"}

// stressThreads is how many threads of a client make requests.
const stressThreads = 2

// beat is memory that a client and the test share. It has each thread's current request with its
// start, and the numbers of successful and failed requests.
type beat struct {
	threads [stressThreads]struct {
		since atomic.Int64 // monotonic clock, ns; 0 between requests
		what  atomic.Int64
	}
	good, bad [doKinds]atomic.Uint64
}

const beatSize = 4096

func beatIn(b []byte) *beat { return &shm.Slice[beat](b, 0, 1)[0] }

func monotonic() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// stressFile is an open file of the device, with its mapping and the answer to its last
// registration.
type stressFile struct {
	mu     sync.RWMutex // held to read while fd and memory are in use
	fd     atomic.Int32
	memory []byte
	answer atomic.Pointer[abi.Register]
}

// stressClient makes valid, invalid and malicious requests.
type stressClient struct {
	path    string
	hostile bool // writes anything anywhere into the memory
	beat    *beat
	files   [3]stressFile
	looping atomic.Int32
	wild    uint64 // address of memory that cannot be reached
}

// stressThread is one of the client's threads.
type stressThread struct {
	*stressClient
	id    int
	rnd   *rand.Rand
	arena []byte // the memory to which requests point
}

const (
	arenaSize   = 64 << 10
	arenaBody   = 0
	arenaCSB    = 8 << 10
	arenaOption = 40 << 10
)

// stressMain runs the client. It returns nil after all of its requests.
func stressMain(config string) error {
	c := &stressClient{}
	var seed uint64
	var behaviour string
	if _, err := fmt.Sscan(config, &c.path, &seed, &behaviour); err != nil {
		return err
	}
	c.hostile = behaviour == "hostile"
	shared, err := unix.Mmap(3, 0, beatSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	c.beat = beatIn(shared)
	none, err := unix.Mmap(-1, 0, 4096, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	c.wild = addressOf(none)
	for i := range c.files {
		c.files[i].fd.Store(-1)
	}
	var threads sync.WaitGroup
	for id := range stressThreads {
		t := &stressThread{stressClient: c, id: id, rnd: rand.New(rand.NewPCG(seed, uint64(id)))}
		t.arena, err = unix.Mmap(-1, 0, arenaSize, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		threads.Go(t.run)
	}
	threads.Wait()
	return nil // loops end with the process
}

func (t *stressThread) run() {
	for range 20 + t.rnd.IntN(120) {
		f := &t.files[t.rnd.IntN(len(t.files))]
		if f.fd.Load() < 0 || t.rnd.IntN(30) == 0 {
			t.reopen(f)
		}
		stressActions[t.rnd.IntN(len(stressActions))](t, f)
	}
}

// stressActions lists the actions of clients, frequent ones several times.
var stressActions = []func(*stressThread, *stressFile){
	(*stressThread).register, (*stressThread).register, (*stressThread).register,
	(*stressThread).register, (*stressThread).register,
	(*stressThread).legacyRegister, (*stressThread).legacyInfo, (*stressThread).unknown,
	(*stressThread).portInfo,
	(*stressThread).poolsInfo, (*stressThread).attach, (*stressThread).attach,
	(*stressThread).detach, (*stressThread).list, (*stressThread).header,
	(*stressThread).newIf, (*stressThread).delIf, (*stressThread).polling, (*stressThread).loop,
	(*stressThread).loop, (*stressThread).startLoop,
	(*stressThread).stopLoop, (*stressThread).enableCSB, (*stressThread).txSync,
	(*stressThread).rxSync, (*stressThread).poll, (*stressThread).poll,
	(*stressThread).mapMemory, (*stressThread).scribble, (*stressThread).scribble,
	(*stressThread).frames, (*stressThread).frames, (*stressThread).frames,
}

// do makes a request, and notes its start and result in beat.
func (t *stressThread) do(what int, request func() syscall.Errno) syscall.Errno {
	me := &t.beat.threads[t.id]
	me.what.Store(int64(what))
	me.since.Store(monotonic())
	e := request()
	me.since.Store(0)
	t.count(what, e)
	return e
}

func (c *stressClient) count(what int, e syscall.Errno) {
	if e == 0 {
		c.beat.good[what].Add(1)
	} else {
		c.beat.bad[what].Add(1)
	}
}

func pick[T any](t *stressThread, from ...T) T { return from[t.rnd.IntN(len(from))] }

// rarely returns the unusual value in one of eight calls.
func rarely[T any](t *stressThread, usual, unusual T) T {
	if t.rnd.IntN(8) == 0 {
		return unusual
	}
	return usual
}

func (t *stressThread) reopen(f *stressFile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.memory != nil {
		unix.Munmap(f.memory)
		f.memory = nil
	}
	if fd := int(f.fd.Load()); fd >= 0 {
		t.do(doClose, func() syscall.Errno { return errno(unix.Close(fd)) })
	}
	f.answer.Store(nil)
	t.do(doOpen, func() syscall.Errno {
		fd, err := unix.Open(t.path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		f.fd.Store(int32(fd))
		return errno(err)
	})
}

func errno(err error) syscall.Errno {
	e, _ := err.(syscall.Errno)
	return e
}

// ioctl makes a request on a file that stays open meanwhile.
func (t *stressThread) ioctl(what int, f *stressFile, request uint32, data []byte) syscall.Errno {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return t.do(what, func() syscall.Errno { return ioctl(int(f.fd.Load()), request, data) })
}

var valeNames = []string{"vale0:a", "vale0:b", "vale0:c", "vale1:a", "vale2:a"}

func (t *stressThread) portName() string {
	return pick(t,
		pick(t, valeNames...), pick(t, valeNames...),
		pick(t, "x{1", "x}1", "x{2", "y}1"), pick(t, "x{1", "x}1"),
		pick(t, "vale0:a{1", "vale0:a}1", nic+"{3", nic+"}3"),
		nic, nic, t.persistent(), "vale0:"+t.persistent(), t.attached(),
		pick(t, "", "vale", "vale0", "vale0:", "{", "x{", "{1", "lo", "nobody", "vale0:a:b",
			strings.Repeat("v", 63), "vale0:"+strings.Repeat("v", 57)),
	)
}

func (t *stressThread) persistent() string { return pick(t, "per0", "per1") }

func (t *stressThread) attached() string {
	return pick(t, "vale0:", "vale1:") + pick(t, nic, nic, t.persistent(), "nobody")
}

func (t *stressThread) wish() abi.Register {
	r := abi.Register{
		Mode: rarely(t, uint32(abi.RegAllNIC),
			pick[uint32](t, abi.RegNull, abi.RegOneNIC, abi.RegOneNIC, uint32(t.rnd.IntN(17)))),
		RingID:    rarely(t, 0, uint16(t.rnd.IntN(6))),
		TxRings:   rarely(t, 1, uint16(t.rnd.IntN(20))),
		RxRings:   rarely(t, 1, uint16(t.rnd.IntN(20))),
		TxSlots:   pick[uint32](t, 0, 2, 64, 64, 256, t.rnd.Uint32N(6000)),
		RxSlots:   pick[uint32](t, 0, 2, 64, 64, 256, t.rnd.Uint32N(6000)),
		MemID:     rarely(t, 0, uint16(t.rnd.IntN(3))),
		ExtraBufs: rarely(t, 0, pick(t, 8, 1<<31, t.rnd.Uint32N(3000))),
	}
	r.Flags = rarely(t, 0, pick[uint64](t, abi.NRExclusive, abi.NRRxRingsOnly, abi.NRTxRingsOnly,
		abi.NRNoTxPoll, abi.NRAcceptVnetHdr, t.rnd.Uint64N(1<<19)))
	if t.rnd.IntN(4) == 0 {
		r.Flags |= pick[uint64](t, abi.NRMonitorTx, abi.NRMonitorRx,
			abi.NRMonitorTx|abi.NRMonitorRx, abi.NRZcopyMon)
	}
	return r
}

// control makes a NIOCCTRL request, usually without options.
func (t *stressThread) control(what int, f *stressFile, kind uint16, name string,
	body []byte) syscall.Errno {
	return t.controlWith(what, f, kind, name, body, rarely(t, 0, t.badOptions()))
}

func (t *stressThread) controlWith(what int, f *stressFile, kind uint16, name string, body []byte,
	options uint64) syscall.Errno {
	h := abi.Header{Version: rarely(t, abi.Version, uint16(12+t.rnd.IntN(5))), Type: kind,
		Options: options}
	if t.rnd.IntN(50) == 0 {
		h.Reserved = t.rnd.Uint32N(2)
		// START takes as long as its loop.
		if odd := uint16(t.rnd.IntN(20)); odd != abi.ReqSyncKloopStart {
			h.Type = odd
		}
	}
	copy(h.Name[:], name)
	if body != nil {
		copy(t.arena[arenaBody:], body)
		h.Body = addressOf(t.arena[arenaBody:])
	}
	if t.rnd.IntN(50) == 0 {
		h.Body = t.badAddress()
	}
	return t.ioctl(what, f, abi.NIOCCTRL, abi.Bytes(&h))
}

func (t *stressThread) badAddress() uint64 {
	return pick(t, 0, 1, t.wild, t.wild+4090, 1<<63, ^uint64(7), addressOf(t.arena)+arenaSize-8)
}

// option writes an option and returns its address.
func (t *stressThread) option(at int, o abi.Option, body ...byte) uint64 {
	where := t.arena[arenaOption+at:]
	copy(where[copy(where, abi.Bytes(&o)):], body)
	return addressOf(where)
}

// badOptions makes lists of options that are too long, are circular, point to unmapped memory, or
// contain unexpected options.
func (t *stressThread) badOptions() uint64 {
	first := t.badAddress()
	at := func(i int) uint64 { return addressOf(t.arena[arenaOption+256*i:]) }
	for i := 1 + t.rnd.IntN(4); i > 0; i-- {
		next := first
		if i < 4 && t.rnd.IntN(3) == 0 {
			next = pick(t, 0, at(i), at(1), t.badAddress())
		}
		body := make([]byte, 200)
		for k := range body {
			body[k] = byte(t.rnd.Uint32())
		}
		size := pick(t, 24, 24, 40, 56, 96, t.rnd.Uint64N(5000), 1<<63)
		first = t.option(256*i, abi.Option{Next: next, Type: uint32(t.rnd.IntN(9)), Size: size},
			body...)
	}
	return first
}

func (t *stressThread) register(f *stressFile) { t.registerAs(f, t.portName(), t.wish(), 0) }

func (t *stressThread) registerAs(f *stressFile, name string, wish abi.Register,
	options uint64) syscall.Errno {
	if f.answer.Load() != nil && t.rnd.IntN(4) > 0 {
		t.reopen(f)
	}
	if options == 0 {
		options = rarely(t, 0, t.badOptions())
	}
	e := t.controlWith(doRegister, f, abi.ReqRegister, name, abi.Bytes(&wish), options)
	if e == 0 {
		answer := *abi.View[abi.Register](t.arena[arenaBody : arenaBody+56])
		f.answer.Store(&answer)
	}
	return e
}

// nmreq returns a legacy request of any version for any port.
func (t *stressThread) nmreq() *abi.Nmreq {
	w := t.wish()
	m := &abi.Nmreq{
		Version: rarely(t, uint32(abi.Version), pick[uint32](t, 0, 4, 11, 12, 13, 99)),
		TxSlots: w.TxSlots, RxSlots: w.RxSlots,
		TxRings: w.TxRings, RxRings: w.RxRings, Flags: w.Mode&abi.ModeMask | uint32(w.Flags),
		RingID: w.RingID | rarely(t, 0, uint16(t.rnd.Uint32())),
		Arg1:   rarely(t, 0, uint16(t.rnd.IntN(20))), Arg2: w.MemID, Arg3: w.ExtraBufs,
	}
	copy(m.Name[:abi.IfNameSize-1], t.portName())
	return m
}

func (t *stressThread) legacyRegister(f *stressFile) {
	m := t.nmreq()
	m.Cmd = rarely(t, abi.CmdNone, uint16(t.rnd.IntN(15)))
	if t.ioctl(doLegacyRegister, f, abi.NIOCREGIF, abi.Bytes(m)) == 0 && m.Cmd == abi.CmdNone {
		f.answer.Store(&abi.Register{Offset: uint64(m.Offset), MemSize: uint64(m.MemSize)})
	}
}

func (t *stressThread) legacyInfo(f *stressFile) {
	m := t.nmreq()
	m.Cmd = pick[uint16](t, 0, abi.CmdBdgList, abi.CmdBdgList, uint16(t.rnd.IntN(15)))
	t.ioctl(doLegacyInfo, f, abi.NIOCGINFO, abi.Bytes(m))
}

func (t *stressThread) unknown(f *stressFile) {
	request := pick(t, abi.NIOCCONFIG, 0xc0206991, 0xc0246992, 0xc02c6992, 0x6993, 0x5401,
		0xffffffff, t.rnd.Uint32())
	t.ioctl(doUnknown, f, request, t.arena[:1<<14])
}

func (t *stressThread) portInfo(f *stressFile) {
	t.control(doPortInfo, f, abi.ReqPortInfoGet, t.portName(), abi.Bytes(&abi.PortInfo{}))
}

func (t *stressThread) poolsInfo(f *stressFile) {
	t.control(doPoolsInfo, f, abi.ReqPoolsInfoGet, t.portName(), abi.Bytes(&abi.PoolsInfo{}))
}

func (t *stressThread) attach(f *stressFile) {
	w := t.wish()
	w.Mode, w.Flags = rarely(t, uint32(abi.RegAllNIC),
		pick[uint32](t, abi.RegNICSW, abi.RegOneNIC)), 0
	t.control(doAttach, f, abi.ReqValeAttach, t.attached(), abi.Bytes(&abi.ValeAttach{Reg: w}))
}

func (t *stressThread) detach(f *stressFile) {
	t.control(doDetach, f, abi.ReqValeDetach, rarely(t, t.attached(), t.portName()),
		abi.Bytes(&abi.ValeDetach{}))
}

func (t *stressThread) list(f *stressFile) {
	at := abi.ValeList{BridgeIdx: uint16(t.rnd.IntN(4)), PortIdx: t.rnd.Uint32N(6)}
	t.control(doList, f, abi.ReqValeList, pick(t, "", t.portName()), abi.Bytes(&at))
}

func (t *stressThread) header(f *stressFile) {
	hdr := abi.PortHdr{HdrLen: pick[uint32](t, 0, 10, 12, 11)}
	t.control(doHeader, f, pick[uint16](t, abi.ReqPortHdrSet, abi.ReqPortHdrGet), t.portName(),
		abi.Bytes(&hdr))
}

func (t *stressThread) newIf(f *stressFile) {
	w := t.wish()
	req := abi.ValeNewIf{TxSlots: w.TxSlots, RxSlots: w.RxSlots, TxRings: w.TxRings,
		RxRings: w.RxRings, MemID: w.MemID}
	t.control(doNewIf, f, abi.ReqValeNewIf, rarely(t, t.persistent(), t.portName()),
		abi.Bytes(&req))
}

func (t *stressThread) delIf(f *stressFile) {
	t.control(doDelIf, f, abi.ReqValeDelIf, rarely(t, t.persistent(), t.portName()), nil)
}

func (t *stressThread) polling(f *stressFile) {
	req := abi.ValePolling{Mode: uint32(1 + t.rnd.IntN(2)),
		FirstCPU: rarely(t, 0, t.rnd.Uint32N(4)), NumPollingCPUs: rarely(t, 1, t.rnd.Uint32N(4))}
	// Polling takes a whole processor, so in most cases it is switched off at once.
	name := t.attached()
	if t.control(doPolling, f, abi.ReqValePollingEnable, name, abi.Bytes(&req)) == 0 &&
		t.rnd.IntN(4) > 0 {
		time.Sleep(time.Millisecond)
		t.control(doPolling, f, abi.ReqValePollingDisable, name, abi.Bytes(&req))
	}
}

func (t *stressThread) csb(at int) uint64 {
	body := make([]byte, 16)
	atok, ktoa := addressOf(t.arena[arenaCSB:]), addressOf(t.arena[arenaCSB+(16<<10):])
	for i, where := range []uint64{atok, ktoa} {
		shm.Slice[atomic.Uint64](body, 0, 2)[i].Store(rarely(t, where,
			pick(t, where+4, t.badAddress())))
	}
	return t.option(at, abi.Option{Type: abi.OptCSB, Size: 40}, body...)
}

func (t *stressThread) enableCSB(f *stressFile) {
	t.controlWith(doCSB, f, abi.ReqCSBEnable, "", nil, t.csb(0))
}

// loop starts a sync loop. It does not stop it: another thread may, or no thread does.
func (t *stressThread) loop(f *stressFile) {
	w := t.wish()
	w.Mode, w.Flags, w.MemID = abi.RegAllNIC,
		w.Flags&^uint64(abi.NRMonitorTx|abi.NRMonitorRx|abi.NRZcopyMon)|abi.NRExclusive, 0
	name := pick(t, fmt.Sprint("vale0:l", t.rnd.IntN(3)), "z{1", "z}1", nic)
	if t.registerAs(f, name, w, t.csb(0)) != 0 {
		return
	}
	t.startLoop(f)
	for range t.rnd.IntN(20) {
		t.scribbleCSB()
		time.Sleep(50 * time.Microsecond)
	}
	if t.rnd.IntN(4) > 0 {
		t.stopLoop(f)
	}
}

func (t *stressThread) scribbleCSB() {
	for i := range 4 {
		a := &shm.Slice[abi.CSBAtok](t.arena, arenaCSB, 64)[i]
		a.Cur.Store(t.rnd.Uint32N(70))
		a.Head.Store(t.rnd.Uint32N(70))
		a.ApplNeedKick.Store(t.rnd.Uint32N(2))
	}
}

// startLoop starts a loop in a thread of its own. That request is not timed, because it takes as
// long as the loop.
func (t *stressThread) startLoop(f *stressFile) {
	if t.looping.Load() > 4 {
		return
	}
	h := &abi.Header{Version: abi.Version, Type: abi.ReqSyncKloopStart}
	body := t.arena[arenaBody+128:]
	copy(body, abi.Bytes(&abi.SyncKloopStart{SleepUs: pick[uint32](t, 0, 50, 1000, 2_000_000)}))
	h.Body, h.Options = addressOf(body), pick(t, 0, t.badOptions(), t.eventfds(f))
	t.looping.Add(1)
	go func() {
		defer t.looping.Add(-1)
		f.mu.RLock()
		fd, err := unix.Dup(int(f.fd.Load())) // so that close does not wait for the loop
		f.mu.RUnlock()
		if err != nil {
			return
		}
		defer unix.Close(fd)
		t.count(doStart, ioctl(fd, abi.NIOCCTRL, abi.Bytes(h)))
	}()
	time.Sleep(time.Duration(t.rnd.IntN(300)) * time.Microsecond)
}

// eventfds makes options of START with descriptors that may or may not be eventfds.
func (t *stressThread) eventfds(f *stressFile) uint64 {
	a := f.answer.Load()
	if a == nil {
		return 0
	}
	rings := int(a.TxRings) + int(a.RxRings)
	pairs := make([]byte, 8*min(rings, 8))
	for i := range shm.Slice[abi.KloopEventfd](pairs, 0, len(pairs)/8) {
		p := &shm.Slice[abi.KloopEventfd](pairs, 0, len(pairs)/8)[i]
		p.IoEventfd, p.IrqFd = t.eventfd(), t.eventfd()
	}
	mode := uint64(0)
	if t.rnd.IntN(2) == 0 {
		mode = t.option(1024, abi.Option{Type: abi.OptSyncKloopMode, Size: 32}, byte(t.rnd.IntN(5)),
			0, 0, 0, 0, 0, 0, 0)
	}
	return t.option(512, abi.Option{Next: mode, Type: abi.OptSyncKloopEventfds,
		Size: uint64(24 + len(pairs))}, pairs...)
}

func (t *stressThread) eventfd() int32 {
	if t.rnd.IntN(12) == 0 {
		return pick[int32](t, -1, 1, 12345)
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return -1
	}
	return int32(fd)
}

func (t *stressThread) stopLoop(f *stressFile) {
	t.controlWith(doStop, f, abi.ReqSyncKloopStop, "", nil, 0)
}

func (t *stressThread) txSync(f *stressFile) { t.ioctl(doTxSync, f, abi.NIOCTXSYNC, nil) }
func (t *stressThread) rxSync(f *stressFile) { t.ioctl(doRxSync, f, abi.NIOCRXSYNC, nil) }

func (t *stressThread) poll(f *stressFile) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	fds := []unix.PollFd{{Fd: f.fd.Load(),
		Events: pick[int16](t, 0, unix.POLLIN, unix.POLLOUT, unix.POLLIN|unix.POLLOUT)}}
	t.do(doPoll, func() syscall.Errno {
		_, err := unix.Poll(fds, t.rnd.IntN(10))
		if e := errno(err); e != unix.EINTR { // Go's own signals
			return e
		}
		return 0
	})
}

func (t *stressThread) mapMemory(f *stressFile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.memory == nil && f.answer.Load() != nil {
		t.do(doMap, func() syscall.Errno {
			var st unix.Stat_t
			// The size in the answer may be wrong: the last request may not have been a
			// registration.
			if err := unix.Fstat(int(f.fd.Load()), &st); err != nil {
				return errno(err)
			}
			m, err := unix.Mmap(int(f.fd.Load()), 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE,
				unix.MAP_SHARED)
			f.memory = m
			return errno(err)
		})
	}
}

// rings returns the offsets of the port's rings according to the shared memory, where these are
// valid: other clients write there, too.
func (f *stressFile) rings(a *abi.Register) (all []uint64) {
	const offsets = 56
	for i := range 8 {
		at := a.Offset + offsets + uint64(8*i)
		if at+8 > uint64(len(f.memory)) || at%8 != 0 {
			break
		}
		ofs := a.Offset + shm.Slice[atomic.Uint64](f.memory, uintptr(at), 1)[0].Load()
		if ofs != a.Offset && ofs%8 == 0 && ofs+abi.RingSize <= uint64(len(f.memory)) {
			all = append(all, ofs)
		}
	}
	return all
}

// stressRing is a ring with those of its slots that are inside the memory.
type stressRing struct {
	*abi.Ring
	slots []abi.Slot
	words []atomic.Uint32 // the slots as words
}

// set writes a slot except for its buffer index, which the framework may change at the same time.
func (r *stressRing) set(i uint32, length, flags uint16) {
	r.words[4*i+1].Store(uint32(length) | uint32(flags)<<16)
}

// withRing calls the function with one of the port's rings.
func (t *stressThread) withRing(f *stressFile, do func(stressRing)) {
	t.mapMemory(f)
	f.mu.RLock()
	defer f.mu.RUnlock()
	a := f.answer.Load()
	if a == nil || f.memory == nil {
		return
	}
	rings := f.rings(a)
	if len(rings) == 0 {
		return
	}
	at := pick(t, rings...)
	r := &shm.Slice[abi.Ring](f.memory, uintptr(at), 1)[0]
	n := min(uint64(r.NumSlots), (uint64(len(f.memory))-at-abi.RingSize)/abi.SlotSize)
	if n == 0 {
		return
	}
	do(stressRing{r, shm.Slice[abi.Slot](f.memory, uintptr(at)+abi.RingSize, int(n)),
		shm.Slice[atomic.Uint32](f.memory, uintptr(at)+abi.RingSize, 4*int(n))})
}

// frames sends on a tx ring or reads on an rx ring, some packets of several slots.
func (t *stressThread) frames(f *stressFile) {
	t.withRing(f, func(r stressRing) {
		n := uint32(len(r.slots))
		head, tail := r.Head.Load()%n, r.Tail.Load()%n
		for range t.rnd.IntN(80) {
			if head == tail {
				break
			}
			if r.Dir == abi.RingTx {
				r.set(head, pick[uint16](t, 0, 13, 60, 60, 1514, 2048),
					rarely(t, 0, pick[uint16](t, abi.NSMoreFrag, abi.NSReport)))
			}
			head = (head + 1) % n
		}
		r.Cur.Store(head)
		r.Head.Store(head)
		t.count(doFrames, 0)
	})
	pick(t, (*stressThread).txSync, (*stressThread).rxSync, (*stressThread).poll)(t, f)
}

// scribble writes random values. A polite client does not change buffer indices.
func (t *stressThread) scribble(f *stressFile) {
	t.withRing(f, func(r stressRing) {
		t.count(doScribble, 0)
		n := uint32(len(r.slots))
		for range 1 + t.rnd.IntN(4) {
			pick(t, &r.Head, &r.Cur, &r.Tail, &r.Flags).Store(pick(t, t.rnd.Uint32(),
				t.rnd.Uint32N(n+2)))
		}
		i := t.rnd.Uint32N(n)
		r.set(i, uint16(t.rnd.Uint32()), uint16(t.rnd.Uint32()))
		if t.hostile {
			r.slots[i].SetWord(abi.MakeSlotWord(pick(t, t.rnd.Uint32(), t.rnd.Uint32N(25000)),
				uint16(t.rnd.Uint32()), uint16(t.rnd.Uint32())))
		}
	})
	if t.hostile && t.rnd.IntN(4) == 0 {
		t.scribbleAnywhere(f)
	}
}

// scribbleAnywhere writes into interfaces and rings of any client, and into lists of buffers.
func (t *stressThread) scribbleAnywhere(f *stressFile) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if len(f.memory) == 0 {
		return
	}
	for range 100 {
		at := t.rnd.Uint64N(uint64(len(f.memory))/8) * 8
		shm.Slice[atomic.Uint64](f.memory, uintptr(at),
			1)[0].Store(pick(t, t.rnd.Uint64(), t.rnd.Uint64N(30000)))
	}
}

// runStressClient runs the client if the test's binary was started as one.
func runStressClient() {
	if config := os.Getenv(stressEnv); config != "" {
		if err := stressMain(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}
