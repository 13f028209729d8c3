package engine

import (
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
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// Binding is one program's hold on a port: what an open descriptor of /dev/netmap is after NIOCREGIF.
type Binding struct {
	eng    *Engine
	entry  *entry
	nifp   *mem.If // nil where the shadow has one
	answer abi.Register
	port   string           // its name
	rings  [2][]*kring.Ring // the bound ones, by direction
	shadow *Shadow          // of a program that knows another API, else nil
	closed atomic.Bool
	host   port.HostSender // the port, if it has a host stack
	allTx  bool            // all its hardware tx rings are bound

	waiting    kring.Waiters // everybody in Wait, whatever for
	subscriber kring.Waiter  // of Subscribe
	nap        *time.Timer

	sleepMu  sync.Mutex
	sleepers []*sleeper // idle ones, kept for the next wait
	pauses   wake.Pauses
	hasFDs   bool    // some ring has news that nobody calls
	mute     [2]bool // by direction: some ring has news of which nobody tells
	fetches  bool    // some ring has a source, which may have to be waited for by descriptor

	csb         atomic.Bool // CSB mode
	loopMu      sync.Mutex
	loop        *Loop
	interrupted bool         // the last loop was ended by a signal
	stops       []chan *Loop // of StopLoop calls that wait for a loop to begin
}

// Register binds to the port of that name; req says how, as NETMAP_REQ_REGISTER does. Errors are those of the request:
// ENXIO for a name that matches nothing, EINVAL for what the port cannot give, EBUSY, ENOMEM.
func (e *Engine) Register(name string, req abi.Register) (*Binding, error) {
	return e.RegisterWith(name, req, Options{})
}

// Options are what a registration may bring along. Extmem and Offsets say in their Err whether they are to blame for an error.
type Options struct {
	// API is that of a program for which interface and rings are laid out as it knows them; nil is ours. The syncs of such a
	// binding are those of its Shadow.
	API     *abi.API
	Extmem  *Extmem
	Offsets *Offsets
	User    uint32 // for whom; see Config.UserInterfaces
}

// queuePatience is how long an interface's queue is waited for that this process has just closed.
// The kernel frees it later, after some seconds where the machine is busy.
const queuePatience = 5 * time.Second

// RegisterWith is Register with options, whose memory is the engine's from then on. Errors are also those of the options.
func (e *Engine) RegisterWith(name string, req abi.Register, o Options) (b *Binding, err error) {
	err = patiently(queuePatience, queuePause, func() (again bool, err error) {
		b, err = e.register(name, req, o)
		return nic.WillBeFree(err) && o.Extmem == nil, err // that memory is gone with the first error
	})
	return b, err
}

// queuePause lets others open ports between two tries.
const queuePause = 20 * time.Millisecond

func (e *Engine) register(name string, req abi.Register, o Options) (*Binding, error) {
	t := targetOf(name, &req)
	pipeOf := e.holdParent(t, &req, o.User)
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() { e.dropParent(pipeOf) }()
	if err := e.check(t, &req); err != nil {
		if o.Extmem != nil {
			o.Extmem.Free()
		}
		return nil, err
	}
	w, err := e.regionWish("open", name, req.MemID, o.Extmem)
	if err != nil {
		return nil, err
	}
	defer e.leave(w.region)
	p, err := e.lookup(t, &req, w.region)
	if err != nil {
		return nil, err
	}
	if p.pipeOf == nil {
		p.pipeOf, pipeOf = pipeOf, nil
	}
	b := &Binding{eng: e, entry: p}
	err = p.free()
	for _, check := range []func() error{
		func() error { return w.reachable(p, e.region, o.Extmem) },
		func() error { return p.acceptsHeader(&req) },
		func() error { return b.bind(&req, o.Offsets) },
	} {
		if err == nil {
			err = check()
		}
	}
	if err == nil && o.API != nil {
		if err = b.cast(o.API, nil); err != nil {
			b.release()
		}
	}
	if err != nil {
		e.drop(p)
		return nil, err
	}
	p.bindings = append(p.bindings, b)
	b.port = p.shown()
	return b, nil
}

func (e *Engine) check(t target, req *abi.Register) error {
	switch name, most := t.name, longest(t.place); {
	case e.closed:
		return fault.New(syscall.ENXIO, "open", name, "the engine is closed")
	case name == "":
		return fault.New(syscall.ENXIO, "open", name, "no port named; try netmap:eth0 or vale0:a")
	case len(name) > most:
		return fault.New(syscall.ENAMETOOLONG, "open", name,
			"%d characters; the name of such a port has at most %d", len(name), most)
	case req.Mode == abi.RegDefault, req.Mode == abi.RegPipeMaster, req.Mode == abi.RegPipeSlave, req.Mode > abi.RegOneSW:
		return fault.New(syscall.EINVAL, "open", name, "mode %d is none", req.Mode)
	}
	return nil
}

// bind chooses the rings, starts those that are new in use, and fills the answer.
func (b *Binding) bind(req *abi.Register, o *Offsets) error {
	if err := b.choose(req); err != nil {
		return err
	}
	if err := b.start(req.Flags&abi.NRExclusive != 0); err != nil {
		return err
	}
	err := b.entry.acceptsStamps(req)
	if err == nil {
		err = b.ptrHasOneUse(req, o)
	}
	if err == nil {
		err = b.setOffsets(o)
	}
	if err == nil {
		err = b.describe()
	}
	if err != nil {
		b.stop()
		return err
	}
	p, region := b.entry.port, b.entry.region
	if h, ok := p.(port.HostSender); ok {
		unbound := func(r *kring.Ring) bool { return !slices.Contains(b.rings[abi.DirTx], r) }
		b.host, b.allTx = h, !slices.ContainsFunc(p.Rings(abi.DirTx), unbound)
	}
	a := *req
	a.Offset, a.MemSize, a.MemID = b.nifp.Offset, region.Size(), region.ID()
	is := port.ShapeOf(p)
	a.TxRings, a.RxRings, a.TxSlots, a.RxSlots = is.TxRings, is.RxRings, is.TxSlots, is.RxSlots
	a.HostTxRings, a.HostRxRings = hostShape(p)
	if req.ExtraBufs > 0 {
		var head uint32
		head, a.ExtraBufs = region.NewExtra(req.ExtraBufs)
		b.nifp.BufsHead.Store(head)
	}
	b.answer = a
	return nil
}

// choose finds the rings that mode, number and flags of the request mean.
func (b *Binding) choose(req *abi.Register) error {
	name := b.entry.title()
	hosts := req.Mode == abi.RegSW || req.Mode == abi.RegNICSW || req.Mode == abi.RegOneSW
	for _, dir := range kring.Dirs {
		hw, host := b.entry.port.Rings(dir), port.HostRings(b.entry.port, dir)
		switch {
		case hosts && len(host) == 0:
			return fault.New(syscall.EINVAL, "open", name, "the port has no host rings")
		case req.Mode == abi.RegNICSW:
			b.rings[dir] = slices.Concat(hw, host)
		case hosts:
			b.rings[dir] = host
		default:
			b.rings[dir] = hw
		}
	}
	if req.Mode == abi.RegOneNIC || req.Mode == abi.RegOneSW {
		i, tx, rx := int(req.RingID), len(b.rings[abi.DirTx]), len(b.rings[abi.DirRx])
		if i >= tx && i >= rx {
			return fault.New(syscall.EINVAL, "open", name, "ring %d; the port has tx rings 0 to %d and rx rings 0 to %d", i, tx-1, rx-1)
		}
		b.rings[abi.DirTx] = one(b.rings[abi.DirTx], i)
		b.rings[abi.DirRx] = one(b.rings[abi.DirRx], i)
	}
	if req.Flags&abi.NRRxRingsOnly != 0 {
		b.rings[abi.DirTx] = nil
	}
	if req.Flags&abi.NRTxRingsOnly != 0 {
		b.rings[abi.DirRx] = nil
	}
	return nil
}

// one is ring i, or ring 0 where there is no ring i.
func one(rings []*kring.Ring, i int) []*kring.Ring {
	if i >= len(rings) {
		i = 0
	}
	return rings[i:min(i+1, len(rings))]
}

// all are the bound rings of both directions.
func (b *Binding) all() []*kring.Ring { return slices.Concat(b.rings[abi.DirTx], b.rings[abi.DirRx]) }

// start takes every ring, all or none. EBUSY when a ring is held exclusively, or is to be and is in use.
func (b *Binding) start(alone bool) error {
	rings := slices.Concat(b.rings[abi.DirRx], b.rings[abi.DirTx]) // receiving first: see Port.Start of package nic
	for _, r := range rings {
		if n, taken := r.Users(); taken || alone && n > 0 {
			return fault.New(syscall.EBUSY, "open", b.entry.title(),
				"%s is in use by %d others and somebody wants it exclusively", label(r), n)
		}
	}
	for i, r := range rings {
		n, _ := r.Users()
		if n == 0 {
			if err := b.startRing(r); err != nil {
				b.rings = [2][]*kring.Ring{rings[:i]} // what stop has to undo
				b.stop()
				return err
			}
		}
		r.SetUsers(n+1, alone)
		b.hasFDs = b.hasFDs || r.News != kring.Called
		source := r.Source.Load()
		b.fetches = b.fetches || source != nil
		if r.News == kring.Silent || source != nil && source.News == kring.Silent {
			b.mute[r.Dir] = true
		}
	}
	return nil
}

// label is what users call a ring, whatever its port was called when it was made.
func label(r *kring.Ring) string { return fmt.Sprint(r.Dir, " ring ", r.ID) }

func (b *Binding) startRing(r *kring.Ring) error {
	r.Hold()
	defer r.Drop()
	return b.entry.port.Start(r)
}

// stop gives every ring back and stops those that nobody uses any more.
func (b *Binding) stop() {
	for _, r := range b.all() {
		n, _ := r.Users()
		r.SetUsers(n-1, false)
		if n > 1 {
			continue
		}
		r.Hold()
		r.Flush()
		b.entry.port.Stop(r)
		r.Drop()
	}
}

// describe makes the binding's netmap_if: offsets of the bound rings, zero for the others.
func (b *Binding) describe() error {
	tx, rx := len(b.entry.port.Rings(abi.DirTx)), len(b.entry.port.Rings(abi.DirRx))
	hostTx, hostRx := hostShape(b.entry.port)
	hostTx, hostRx = max(hostTx, 1), max(hostRx, 1) // clients count on finding the rx rings behind them
	f, err := b.entry.region.NewIf(b.entry.shown(), tx+int(hostTx)+rx+int(hostRx))
	if err != nil {
		return err
	}
	f.TxRings, f.RxRings, f.HostTxRings, f.HostRxRings = uint32(tx), uint32(rx), uint32(hostTx), uint32(hostRx)
	for _, r := range b.rings[abi.DirTx] {
		f.RingOfs[r.ID] = int64(r.Offset()) - int64(f.Offset)
	}
	for _, r := range b.rings[abi.DirRx] {
		f.RingOfs[tx+int(hostTx)+int(r.ID)] = int64(r.Offset()) - int64(f.Offset)
	}
	if b.entry.region.Private() {
		f.Flags |= abi.NIPrivMem
	}
	b.nifp = f
	return nil
}

// hostShape is how many host rings a port has in each direction.
func hostShape(p port.Port) (tx, rx uint16) {
	return uint16(len(port.HostRings(p, abi.DirTx))), uint16(len(port.HostRings(p, abi.DirRx)))
}

// Close ends the binding. Syncs that are under way finish first, waits return POLLERR.
func (b *Binding) Close() error {
	b.eng.mu.Lock()
	defer b.eng.mu.Unlock()
	b.eng.unbind(b)
	return nil
}

func (e *Engine) unbind(b *Binding) {
	if b.closed.Swap(true) {
		return
	}
	b.waiting.Wake()
	b.closeLoop()
	b.unsubscribe()
	if b.shadow != nil {
		b.shadow.close()
	}
	b.release()
	b.closeSleepers()
	p := b.entry
	p.bindings = slices.DeleteFunc(p.bindings, func(o *Binding) bool { return o == b })
	if len(p.bindings) == 0 {
		p.orphan()
	}
	e.drop(p)
}

// release undoes bind.
func (b *Binding) release() {
	b.stop()
	if b.nifp != nil {
		b.entry.region.FreeExtra(b.nifp.BufsHead.Load())
		b.entry.region.FreeIf(b.nifp)
	}
}

// Register is the answer to the request.
func (b *Binding) Register() abi.Register { return b.answer }

// Monitors says whether the port is a monitor, which sends nothing.
func (b *Binding) Monitors() bool { return b.entry.kind == "monitor" }

// Memory is the region that the offsets in the answer refer to.
func (b *Binding) Memory() []byte { return b.entry.region.Bytes() }

// Port is the name of the port: the one that an interface has now, else the one when the binding
// began.
func (b *Binding) Port() string {
	if b.host != nil {
		return b.entry.title()
	}
	return b.port
}
