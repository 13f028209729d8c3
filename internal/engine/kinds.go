package engine

import (
	"cmp"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/iface"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/monitor"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/null"
	"github.com/seed-48afdc40/netmap/internal/pipe"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/registry"
	"github.com/seed-48afdc40/netmap/internal/switches"
	"github.com/seed-48afdc40/netmap/portname"
)

// kind describes how ports of a kind are found and opened. A new kind of port is a row of kinds.
type kind struct {
	name string
	// means reports whether name and request mean a port of this kind.
	means func(name string, req *abi.Register) bool
	// find sets the key of the port in the registry. The registry is not locked.
	find func(t *target)
	// open makes the entry's port, and may change the entry.
	open func(e *Engine, p *registry.Entry, t *target, req *abi.Register) error
	// alone is set if each open makes another port.
	alone bool
	// longest is the maximum length of a name. Only names of interfaces may be longer than the field
	// of a request.
	longest int
}

// kinds contains all kinds of port except monitors, in the order in which netmap tries them.
var kinds = []*kind{
	{name: "null", means: isNull, find: findNull, open: openNull, longest: abi.ReqNameSize - 1,
		alone: true},
	{name: "pipe", means: isPipe, find: findPipe, open: openPipe, longest: abi.ReqNameSize - 1},
	{name: switches.Kind, means: isVale, find: findVale, open: openVale, longest: abi.ReqNameSize - 1},
	nicKind,
}

var nicKind = &kind{name: "nic", means: isAny, find: findNIC, open: openNIC,
	longest: netdev.MaxName}

// target is the port that a name means in the thread's network namespace (NetNS). It is found
// before the registry is locked, because the kernel may need time to answer.
type target struct {
	kind    *kind
	monitor bool // a monitor of that port is meant
	name    string
	key     registry.Key
	err     error // why there can be no such port

	like        registry.Key // the key of a pipe's parent
	isInterface bool         // the name behind the colon is that of an interface
}

// targetOf finds the port that a name and its request mean.
func targetOf(name string, req *abi.Register) target {
	t := target{name: name}
	for _, k := range kinds {
		if k.means(name, req) {
			t.kind = k
			break
		}
	}
	t.monitor = !t.kind.alone && req.Flags&monitor.Flags != 0
	t.kind.find(&t)
	return t
}

func isNull(_ string, req *abi.Register) bool { return req.Mode == abi.RegNull }
func isAny(string, *abi.Register) bool        { return true }

func isPipe(name string, _ *abi.Register) bool { return portname.KindOf(name) == portname.Pipe }
func isVale(name string, _ *abi.Register) bool { return portname.KindOf(name) == portname.VALE }

func findNull(t *target) { t.name = "null:" + t.name }

func findPipe(t *target) {
	t.key = pipeKey(t.name)
	switch parent := t.key.Name; portname.KindOf(parent) {
	case portname.Pipe:
		t.like = pipeKey(parent)
	case portname.VALE:
		t.like = registry.Key{Name: parent}
	default:
		t.like.Dev, _ = netdev.Find(parent) // without an interface, no port has this key
	}
}

// pipeKey returns the key of a pipe's end.
func pipeKey(name string) registry.Key {
	parent, id, slave := portname.SplitPipe(name)
	return registry.Key{Name: parent, Pipe: id, Slave: slave}
}

func findVale(t *target) {
	t.key = registry.Key{Name: t.name}
	_, behind, _ := strings.Cut(t.name, ":")
	t.isInterface = netdev.Exists(behind)
}

func findNIC(t *target) {
	if t.key.Dev, t.err = netdev.Find(t.name); t.err != nil {
		t.err = registry.NoInterface("open", t.name, t.err)
	}
}

// lookup finds the target, or makes it in the region. The caller holds the lock, and must drop the
// entry if it ends up unused.
func (e *Engine) lookup(t *target, req *abi.Register, region *mem.Region) (*registry.Entry, error) {
	switch {
	case t.err != nil:
		return nil, t.err
	case t.monitor:
		return e.openMonitor(t, req, region)
	case t.kind.alone:
		t.key = e.reg.NewKey()
	}
	if p := e.reg.Find(t.key); p != nil {
		return p, nil
	}
	p := &registry.Entry{Key: t.key, Kind: t.kind.name}
	p.Name, p.Region = t.name, region
	if err := t.kind.open(e, p, t, req); err != nil {
		return nil, err
	}
	if other := e.reg.At(p.Key); other != nil { // interfaces were renamed meanwhile
		p.Close()
		return other, nil
	}
	e.reg.Add(p)
	return p, nil
}

// openInterface is lookup of an interface.
func (e *Engine) openInterface(name string, id netdev.ID, req *abi.Register,
	region *mem.Region) (*registry.Entry, error) {
	return e.lookup(&target{kind: nicKind, name: name, key: registry.Key{Dev: id}}, req, region)
}

// openNull makes a null port. ENOMEM for more rings than the region has, or more slots than a ring
// can have.
func openNull(e *Engine, p *registry.Entry, _ *target, req *abi.Register) error {
	const op = "open null port"
	if req.MemID == 0 && p.Region == e.Region() {
		return fault.New(syscall.EINVAL, op, p.Name,
			"no memory id; a null port has to name its region, %d", p.Region.ID())
	}
	shape := port.Wish(req)
	shape.TxSlots, shape.RxSlots = cmp.Or(shape.TxSlots, port.DefaultSlots),
		cmp.Or(shape.RxSlots, port.DefaultSlots)
	wish, most := uint32(shape.TxRings)+uint32(shape.RxRings), p.Region.Info().Ring.ObjTotal
	if wish > most {
		return fault.New(syscall.ENOMEM, op, p.Name, "%d rings; the region has %d", wish, most)
	}
	if s := max(shape.TxSlots, shape.RxSlots); wish > 0 && s > mem.MaxSlots {
		return fault.New(syscall.ENOMEM, op, p.Name,
			"rings of %d slots; want at most %d", s, mem.MaxSlots)
	}
	p.Port = null.New(p.Region, p.Name, shape)
	return nil
}

// openPipe makes both ends and returns one; the other end waits until it is opened. The request
// contains the shape of the master, even if it opens the slave.
func openPipe(e *Engine, p *registry.Entry, t *target, req *abi.Register) error {
	k := t.key
	if k.Name == "" || k.Pipe == "" {
		return fault.New(syscall.EINVAL, "open pipe", t.name, "want PARENT{ID or PARENT}ID")
	}
	if req.Mode != abi.RegAllNIC && req.Mode != abi.RegOneNIC {
		return fault.New(syscall.EINVAL, "open pipe", t.name, "a pipe has no host rings")
	}
	if other := e.reg.At(k.Other()); other != nil {
		p.Port, p.Twin, p.Region = other.Twin, other.Port, other.Region
		return nil
	}
	like := port.Usual
	if parent := e.reg.At(t.like); parent != nil {
		like = port.ShapeOf(parent.Port)
	}
	made := pipe.New(p.Region, k.Name+"{"+k.Pipe, k.Name+"}"+k.Pipe,
		port.Wish(req).Clamped(pipe.MaxRings, like))
	p.Port, p.Twin = made.Master, made.Slave
	if k.Slave {
		p.Port, p.Twin = made.Slave, made.Master
	}
	return nil
}

func openVale(e *Engine, p *registry.Entry, t *target, req *abi.Register) error {
	return e.switches.Open(p, t.isInterface, req)
}

// openNIC opens the interface of the key, with the numbers of host rings in the request. If another
// interface has got its name meanwhile, it opens that one and sets the key.
func openNIC(e *Engine, p *registry.Entry, _ *target, req *abi.Register) error {
	name, err := netdev.Name(p.Key.Dev.Index)
	if err != nil {
		return registry.NoInterface("open", p.Name, err)
	}
	n, err := iface.Open(p.Region, name, req.HostTxRings, req.HostRxRings, e.cfg.NIC,
		e.reg.InterfaceGone)
	if err != nil {
		return err
	}
	p.Key.Dev.Index, p.Dev, p.Port = n.Index(), n.Device(), n
	return nil
}

// openMonitor makes a monitor of the target, and sets the directions in the request. No name finds
// the monitor. Errors are those of lookup, EBUSY if the target is attached to a switch, EINVAL if
// no program has it open.
func (e *Engine) openMonitor(t *target, req *abi.Register, region *mem.Region) (*registry.Entry,
	error) {
	if req.Flags&abi.NRZcopyMon != 0 {
		req.Flags |= abi.NRMonitorTx | abi.NRMonitorRx
	}
	wish, of := *req, *t
	wish.Flags &^= monitor.Flags
	of.monitor = false
	parent, err := e.lookup(&of, &wish, region)
	if err != nil {
		return nil, err
	}
	err = parent.Free()
	if err == nil && len(parent.Sessions) == 0 {
		err = fault.New(syscall.EINVAL, "monitor", t.name,
			"nobody has it open; open it first, and then the monitor")
	}
	if err != nil {
		e.reg.Drop(parent)
		return nil, err
	}
	shape := port.Wish(req).Clamped(1, port.ShapeOf(parent.Port))
	c := monitor.Config{Parent: parent.Shown(), Serial: parent.Watched, Flags: req.Flags,
		TxSlots: shape.TxSlots, RxSlots: shape.RxSlots}
	if req.Flags&abi.NRZcopyMon != 0 {
		region = parent.Region
	}
	m := monitor.New(region, parent.Port, c)
	parent.Watched++
	p := &registry.Entry{Key: e.reg.NewKey(), Kind: "monitor", Parent: parent}
	p.Name, p.Port, p.Region = c.Name(), m, region
	p.OnClose(parent.OnLeft(m.Orphan))
	e.reg.Add(p)
	return p, nil
}
