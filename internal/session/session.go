// Package session is one program's use of a port: its rings, syncs, polls and waits, offsets,
// transparent mode, CSB mode and sync loops, and the rings of old APIs. It knows no kind of port
// and no registry: the caller of Open passes the port (Target).
//
// It is larger than other packages because all of these work on the same bound rings, which are
// synced in one place (Session.sync). A separate package for loops would need all parts of a
// session: the rings with their views, the hold on each ring, and the alarm.
package session

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/oldapi"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// Env is what the sessions of a framework share. The zero value is ready to use.
type Env struct {
	// Spin is how long a waiting call polls before it sleeps. With 0, wake.Pauses decides. With a
	// negative value, a call never polls.
	Spin time.Duration
	// Forward forwards all frames that programs release on rx rings of ports with a host stack.
	Forward bool

	alarm alarm
}

// Close releases what the sessions shared. Call it after the last session has ended.
func (e *Env) Close() { e.alarm.close() }

// Target is a port and its sessions. The registry's lock guards it.
type Target struct {
	Port     port.Port
	Region   *mem.Region    // where its rings and buffers are
	Name     string         // the port's name when it was opened
	Alias    string         // a second name, by which users know it
	Dev      *netdev.Device // the port's interface; nil if it has none
	Sessions []*Session

	old []*oldapi.Port // the port's rings in old layouts, one entry for each API in use
}

// Title returns the name of the port now: the host may have renamed its interface.
func (t *Target) Title() string {
	if t.Dev != nil {
		return t.Dev.Name()
	}
	return t.Name
}

// Shown returns the name of the port for users: its name on the switch if it has one, else Title.
func (t *Target) Shown() string { return cmp.Or(t.Alias, t.Title()) }

// Session is one program's use of a port: the state of a descriptor of /dev/netmap after NIOCREGIF.
// The zero value is not open.
type Session struct {
	env    *Env
	target *Target
	name   string  // of the port
	nifp   *mem.If // nil if the program has one in the layout of an old API
	answer abi.Register
	rings  [2][]*kring.Ring // the bound rings, by direction
	synced [2][]bound       // the bound rings that are synced: all, except with some old APIs
	old    *old             // the layouts of an old API; nil for today's API
	closed atomic.Bool
	host   port.HostSender // the port, if it has a host stack
	allTx  bool            // all its hardware tx rings are bound

	waiting    kring.Waiters // all goroutines in Wait
	subscriber kring.Waiter  // the argument of Subscribe
	nap        *time.Timer

	sleepMu  sync.Mutex
	sleepers []*sleeper // unused sleepers, kept for the next wait
	pauses   wake.Pauses
	hasFDs   bool    // news of some ring does not wake its Waiters
	mute     [2]bool // by direction: news of some ring has no notification at all
	fetches  bool    // some ring has a source, which may have a descriptor to wait for

	csb         atomic.Bool // CSB mode
	loopMu      sync.Mutex
	loop        *Loop
	interrupted bool         // a signal ended the last loop
	stops       []chan *Loop // StopLoop calls that wait for a loop to start
}

// Options are the options of Open.
type Options struct {
	// API is the program's API. It decides the layouts of interface and rings. nil means today's.
	API     *abi.API
	Offsets *Offsets
}

// OptionError is an error that an option of the request caused.
type OptionError struct {
	Option uint32 // abi.OptOffsets, abi.OptExtmem
	Err    error
}

func (e *OptionError) Error() string { return e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// Open binds the session to a port, with the request of NETMAP_REQ_REGISTER. The caller holds the
// registry's lock. Errors: EINVAL for rings or modes that the port does not have, EBUSY, ENOMEM,
// EIO if the port's frames have virtio-net headers and the program does not accept these.
func (s *Session) Open(env *Env, t *Target, req *abi.Register, o Options) error {
	return s.open(env, t, req, o, nil)
}

// Replace is Open for a program of an old API that chooses other rings of its port. The program's
// netmap_if stays where it is. After success, the caller ends the other session.
func (s *Session) Replace(other *Session, req *abi.Register) error {
	if other.closed.Load() {
		return other.closedError("open")
	}
	return s.open(other.env, other.target, req, Options{API: other.API()}, other.old)
}

func (s *Session) open(env *Env, t *Target, req *abi.Register, o Options, before *old) error {
	s.env, s.target = env, t
	if err := CheckMode(t.Title(), req); err != nil {
		return err
	}
	if n := port.Header(t.Port); n > 0 && req.Flags&abi.NRAcceptVnetHdr == 0 {
		return fault.New(syscall.EIO, "open", t.Shown(),
			"its frames start with virtio-net headers of %d bytes; "+
				"say that you know (NR_ACCEPT_VNET_HDR), or set the length to 0", n)
	}
	if err := s.bind(req, o.Offsets); err != nil {
		return err
	}
	if o.API != nil {
		if err := s.addLayout(o.API, before); err != nil {
			s.release()
			return err
		}
	}
	s.name = t.Shown()
	t.Sessions = append(t.Sessions, s)
	return nil
}

// CheckMode returns EINVAL if the mode of the request does not exist.
func CheckMode(name string, req *abi.Register) error {
	switch m := req.Mode; {
	case m == abi.RegDefault, m == abi.RegPipeMaster, m == abi.RegPipeSlave, m > abi.RegOneSW:
		return fault.New(syscall.EINVAL, "open", name, "mode %d does not exist", m)
	}
	return nil
}

// bind chooses the rings, starts those without users, and fills the answer.
func (s *Session) bind(req *abi.Register, o *Offsets) error {
	if err := s.choose(req); err != nil {
		return err
	}
	if err := s.start(req.Flags&abi.NRExclusive != 0); err != nil {
		return err
	}
	err := s.acceptsStamps(req)
	if err == nil {
		err = s.setOffsets(req, o)
	}
	if err == nil {
		err = s.describe()
	}
	if err != nil {
		s.stop()
		return err
	}
	p, region := s.target.Port, s.target.Region
	if h, ok := p.(port.HostSender); ok {
		unbound := func(r *kring.Ring) bool { return !slices.Contains(s.rings[abi.DirTx], r) }
		s.host, s.allTx = h, !slices.ContainsFunc(p.Rings(abi.DirTx), unbound)
	}
	for dir, rings := range s.rings {
		for _, r := range rings {
			s.synced[dir] = append(s.synced[dir], bound{Ring: r})
		}
	}
	a := *req
	a.Offset, a.MemSize, a.MemID = s.nifp.Offset, region.Size(), region.ID()
	is := port.ShapeOf(p)
	a.TxRings, a.RxRings, a.TxSlots, a.RxSlots = is.TxRings, is.RxRings, is.TxSlots, is.RxSlots
	a.HostTxRings, a.HostRxRings = port.HostShape(p)
	if req.ExtraBufs > 0 {
		var head uint32
		head, a.ExtraBufs = region.NewExtra(req.ExtraBufs)
		s.nifp.BufsHead.Store(head)
	}
	s.answer = a
	return nil
}

// acceptsStamps returns an error if the request asks for time stamps that the port does not have.
func (s *Session) acceptsStamps(req *abi.Register) error {
	if req.Flags&abi.NRRxStamps == 0 {
		return nil
	}
	if p, ok := s.target.Port.(port.Stamper); ok {
		return p.Stamps()
	}
	return fault.New(syscall.EOPNOTSUPP, "open", s.target.Title(),
		"only interfaces have time stamps of received frames; open it without NR_RX_STAMPS")
}

// choose sets the bound rings by the mode, number and flags of the request.
func (s *Session) choose(req *abi.Register) error {
	name := s.target.Title()
	hosts := req.Mode == abi.RegSW || req.Mode == abi.RegNICSW || req.Mode == abi.RegOneSW
	for _, dir := range kring.Dirs {
		hw, host := s.target.Port.Rings(dir), port.HostRings(s.target.Port, dir)
		switch {
		case hosts && len(host) == 0:
			return fault.New(syscall.EINVAL, "open", name, "the port has no host rings")
		case req.Mode == abi.RegNICSW:
			s.rings[dir] = slices.Concat(hw, host)
		case hosts:
			s.rings[dir] = host
		default:
			s.rings[dir] = hw
		}
	}
	if req.Mode == abi.RegOneNIC || req.Mode == abi.RegOneSW {
		i, tx, rx := int(req.RingID), len(s.rings[abi.DirTx]), len(s.rings[abi.DirRx])
		if i >= tx && i >= rx {
			return fault.New(syscall.EINVAL, "open", name,
				"ring %d; the port has tx rings 0 to %d and rx rings 0 to %d", i, tx-1, rx-1)
		}
		s.rings[abi.DirTx] = one(s.rings[abi.DirTx], i)
		s.rings[abi.DirRx] = one(s.rings[abi.DirRx], i)
	}
	if req.Flags&abi.NRRxRingsOnly != 0 {
		s.rings[abi.DirTx] = nil
	}
	if req.Flags&abi.NRTxRingsOnly != 0 {
		s.rings[abi.DirRx] = nil
	}
	return nil
}

// one returns ring i, or ring 0 if there is no ring i.
func one(rings []*kring.Ring, i int) []*kring.Ring {
	if i >= len(rings) {
		i = 0
	}
	return rings[i:min(i+1, len(rings))]
}

// all returns the bound rings of both directions.
func (s *Session) all() []*kring.Ring { return slices.Concat(s.rings[:]...) }

// start counts the session as a user of all rings, or of none after an error. EBUSY if another
// session has a ring exclusively, or if alone is set and another session has a ring.
func (s *Session) start(alone bool) error {
	// rx rings first: see Port.Start of package nic
	rings := slices.Concat(s.rings[abi.DirRx], s.rings[abi.DirTx])
	for _, r := range rings {
		if n, taken := r.Users(); taken || alone && n > 0 {
			return fault.New(syscall.EBUSY, "open", s.target.Title(),
				"%s is in use by %d others and somebody wants it exclusively", label(r), n)
		}
	}
	for i, r := range rings {
		n, _ := r.Users()
		if n == 0 {
			if err := s.startRing(r); err != nil {
				s.rings = [2][]*kring.Ring{rings[:i]} // what stop has to undo
				s.stop()
				return err
			}
		}
		r.SetUsers(n+1, alone)
		s.hasFDs = s.hasFDs || r.News != kring.Called
		source := r.Source.Load()
		s.fetches = s.fetches || source != nil
		if r.News == kring.Silent || source != nil && source.News == kring.Silent {
			s.mute[r.Dir] = true
		}
	}
	return nil
}

// label returns the name of a ring for messages. It does not contain the port, which may be
// renamed.
func label(r *kring.Ring) string { return fmt.Sprint(r.Dir, " ring ", r.ID) }

func (s *Session) startRing(r *kring.Ring) error {
	r.Hold()
	defer r.Drop()
	return s.target.Port.Start(r)
}

// stop undoes start, and stops rings that have no users left.
func (s *Session) stop() {
	for _, r := range s.all() {
		n, _ := r.Users()
		r.SetUsers(n-1, false)
		if n > 1 {
			continue
		}
		r.Hold()
		r.Flush()
		s.target.Port.Stop(r)
		r.Drop()
	}
}

// describe makes the session's netmap_if. It contains the offsets of the bound rings, and 0 for
// other rings.
func (s *Session) describe() error {
	tx, rx := len(s.target.Port.Rings(abi.DirTx)), len(s.target.Port.Rings(abi.DirRx))
	hostTx, hostRx := port.HostShape(s.target.Port)
	// clients expect the offsets of the rx rings behind those of the host tx rings
	hostTx, hostRx = max(hostTx, 1), max(hostRx, 1)
	f, err := s.target.Region.NewIf(s.target.Shown(), tx+int(hostTx)+rx+int(hostRx))
	if err != nil {
		return err
	}
	f.TxRings, f.RxRings, f.HostTxRings, f.HostRxRings = uint32(tx), uint32(rx), uint32(hostTx),
		uint32(hostRx)
	for _, r := range s.rings[abi.DirTx] {
		f.RingOfs[r.ID] = int64(r.Offset()) - int64(f.Offset)
	}
	for _, r := range s.rings[abi.DirRx] {
		f.RingOfs[tx+int(hostTx)+int(r.ID)] = int64(r.Offset()) - int64(f.Offset)
	}
	if s.target.Region.Private() {
		f.Flags |= abi.NIPrivMem
	}
	s.nifp = f
	return nil
}

// End closes the session, after waiting for syncs in progress. Waits return POLLERR. It returns
// false if the session was closed before.
func (s *Session) End() bool {
	if s.closed.Swap(true) {
		return false
	}
	s.waiting.Wake()
	s.closeLoop()
	s.unsubscribe()
	if s.old != nil {
		s.removeLayout(s.old)
	}
	s.release()
	s.closeSleepers()
	s.target.Sessions = slices.DeleteFunc(s.target.Sessions, func(o *Session) bool { return o == s })
	return true
}

// Closed reports whether End was called.
func (s *Session) Closed() bool { return s.closed.Load() }

// release undoes bind.
func (s *Session) release() {
	s.stop()
	if s.nifp != nil {
		s.target.Region.FreeExtra(s.nifp.BufsHead.Load())
		s.target.Region.FreeIf(s.nifp)
	}
}

// Register returns the answer to the request.
func (s *Session) Register() abi.Register { return s.answer }

// Memory returns the region to which the offsets in the answer refer.
func (s *Session) Memory() []byte { return s.target.Region.Bytes() }

// Port returns the name of the port: the present name of an interface, the name at Open of other
// ports.
func (s *Session) Port() string {
	if s.host != nil {
		return s.target.Title()
	}
	return s.name
}
