package engine

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/registry"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/vale"
)

// view is the state that a Status found. Its ports may be closed by now: their counters can still
// be read, and their memory is not accessed.
type view struct {
	ports    []portView
	switches []*vale.Switch
	names    map[*vale.Port]string // the names of their ports
	memory   []status.Region
}

// portView is a port and its counters.
type portView struct {
	status.Port
	describer port.Describer
	rings     []ringView
}

type ringView struct {
	*kring.Ring
	host, open bool
}

// glimpse is how long Status waits for the lock. Opening an interface holds it for up to a second.
const glimpse = 20 * time.Millisecond

// Status describes ports, switches and memory. It does not wait long while a port is being opened.
// Then it describes the ports of the last call, with their present counters.
func (e *Engine) Status() (s status.Status) {
	v := e.lastView()
	s.Ports, s.Switches = []status.Port{}, []status.Switch{} // empty arrays in JSON, not null
	for i := range v.ports {
		s.Ports = append(s.Ports, v.ports[i].read())
	}
	for _, sw := range v.switches {
		s.Switches = append(s.Switches, switchStatus(sw, v.names))
	}
	s.Memory = v.memory
	return s
}

func (e *Engine) lastView() *view {
	for end := time.Now().Add(glimpse); ; time.Sleep(time.Millisecond) {
		if e.reg.TryLock() {
			v := e.view()
			e.reg.Unlock()
			e.seen.Store(v)
			return v
		}
		if v := e.seen.Load(); v != nil && time.Now().After(end) {
			return v
		}
	}
}

// view makes a view. The caller holds the lock.
func (e *Engine) view() *view {
	v := &view{}
	for _, p := range e.reg.Entries() {
		if !p.Hidden() {
			v.ports = append(v.ports, viewOf(p))
		}
	}
	slices.SortFunc(v.ports, func(a, b portView) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.NetNS, b.NetNS))
	})
	v.switches, v.names = e.switches.All()
	if e.reg.Closed {
		return v
	}
	for _, r := range e.reg.Regions() {
		v.memory = append(v.memory, regionStatus(r))
	}
	slices.SortFunc(v.memory, func(a, b status.Region) int { return cmp.Compare(a.ID, b.ID) })
	return v
}

func viewOf(p *registry.Entry) portView {
	v := portView{Port: status.Port{Name: p.Shown(), Kind: p.Kind, Region: p.Region.ID(),
		Users: len(p.Sessions), Persistent: p.Lasts}}
	v.Interfaces = make([]uint64, 0, len(p.Sessions))
	described := p
	switch {
	case p.IsHost:
		v.Attached = p.Behind.Shown() + "^"
	case p.Behind != nil:
		described = p.Behind
		v.Attached = p.Behind.Shown()
	}
	if described.Dev != nil && described.Kind == nicKind.name {
		v.NetNS = strconv.FormatUint(described.Dev.NS.Inode, 10)
	}
	if p.Key.Number > 0 && p.Parent == nil && p.Dev == nil { // several null ports have one name
		v.Name += fmt.Sprint("#", p.Key.Number)
	}
	for _, b := range p.Sessions {
		v.Interfaces = append(v.Interfaces, b.Register().Offset)
	}
	v.Header = header(p)
	v.describer, _ = described.Port.(port.Describer)
	for _, dir := range kring.Dirs {
		for _, r := range p.Port.Rings(dir) {
			v.rings = append(v.rings, ringView{r, p.IsHost, uses(p, r)})
		}
		for _, r := range port.HostRings(p.Port, dir) {
			v.rings = append(v.rings, ringView{r, true, uses(p, r)})
		}
	}
	// An attachment's tx rings are those in which the interface receives. The status shows directions
	// as the interface sees them.
	slices.SortStableFunc(v.rings,
		func(a, b ringView) int { return cmp.Compare(b.Dir.String(), a.Dir.String()) })
	return v
}

// uses reports whether the ring is in use, by a session or by the switch to which the port is
// attached.
func uses(p *registry.Entry, r *kring.Ring) bool {
	n, _ := r.Users()
	return n > 0 || p.Held || p.Owner != nil
}

// read adds the present counters to the port.
func (v *portView) read() status.Port {
	p := v.Port
	p.Drops = map[string]uint64{}
	if v.describer != nil {
		p.Detail, p.Drops = v.describer.Describe()
	}
	p.Rings = make([]status.Ring, 0, len(v.rings))
	for _, r := range v.rings {
		p.Rings = append(p.Rings, r.read())
	}
	return p
}

// read describes the ring with its present counters.
func (r ringView) read() status.Ring {
	s := status.Ring{Index: int(r.ID), Direction: r.Dir.String(), Host: r.host, Open: r.open,
		Slots: r.N}
	s.Frames, s.Bytes, s.Drops = r.Traffic.Frames.Load(), r.Traffic.Bytes.Load(), r.Drops.Counts()
	if r.open {
		cur, tail := r.HwCur.Load(), r.HwTail.Load()
		if s.Used = r.Dist(cur, tail); r.Dir == abi.DirTx {
			s.Used = r.Dist(r.Next(tail), cur)
		}
	}
	return s
}

func switchStatus(sw *vale.Switch, names map[*vale.Port]string) status.Switch {
	s := status.Switch{Name: sw.Name(), Ports: []status.SwitchPort{}, Addresses: []status.Address{}}
	for _, p := range sw.Ports() {
		s.Ports = append(s.Ports, status.SwitchPort{Index: p.Index(), Name: cmp.Or(names[p], p.Name)})
	}
	for _, l := range sw.Learned() {
		s.Addresses = append(s.Addresses,
			status.Address{MAC: net.HardwareAddr(l.MAC[:]).String(), Port: l.Port})
	}
	slices.SortFunc(s.Addresses, func(a, b status.Address) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.MAC, b.MAC))
	})
	return s
}

func regionStatus(r *mem.Region) status.Region {
	u := r.Usage()
	return status.Region{ID: r.ID(), Bytes: r.Size(), Taken: r.Taken(), Private: r.Private(),
		Interfaces: status.Pool{Free: u.IfFree, Total: u.IfTotal}, Rings: status.Pool{Free: u.RingFree,
			Total: u.RingTotal}, Buffers: status.Pool{Free: u.BufFree, Total: u.BufTotal}}
}
