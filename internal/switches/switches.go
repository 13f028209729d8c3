// Package switches is VALE's control plane: the switches, the attached interfaces and the
// goroutines that move their frames, persistent ports, and interfaces that are parents of pipes.
//
// Exported methods take the registry's lock unless documented otherwise. Interfaces are those of
// the calling thread's network namespace. Most methods are documented at the methods of package
// engine with the same name.
package switches

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/registry"
	"github.com/seed-48afdc40/netmap/internal/vale"
	"github.com/seed-48afdc40/netmap/portname"
)

// Kind is the name of the kind of port.
const Kind = "vale"

// Config is the configuration of New.
type Config struct {
	MaxSwitches    int  // maximum number of switches
	UserInterfaces int  // maximum number of interfaces of a user other than root
	PipeInterfaces bool // an interface is made for the parent of a pipe
	// OpenInterface finds the port of an interface, or opens it in a region. The caller holds the
	// lock, and drops the entry if it ends up unused.
	OpenInterface func(name string, id netdev.ID, req *abi.Register,
		region *mem.Region) (*registry.Entry, error)
}

// Switches contains the switches of a framework.
type Switches struct {
	cfg      Config
	reg      *registry.Registry
	switches map[string]*vale.Switch
	parents  map[string]*parent
	made     map[uint32]int // number of interfaces, by user
	ending   sync.WaitGroup // goroutines that remove interfaces
}

// New returns an empty Switches. The ports of its switches are kept in the registry.
func New(reg *registry.Registry, cfg Config) *Switches {
	return &Switches{cfg: cfg, reg: reg, switches: map[string]*vale.Switch{},
		parents: map[string]*parent{}, made: map[uint32]int{}}
}

// EndAll ends all attachments and persistent ports. No program uses them any more. The caller holds
// the lock.
func (s *Switches) EndAll() {
	for _, p := range s.reg.Entries() {
		if a := attachmentOf(p); a != nil {
			s.detach(p, a)
		}
	}
	for _, p := range s.reg.Entries() {
		if d := persistentOf(p); d != nil && d.device != nil {
			s.endDevice(p, d)
			s.reg.Drop(p)
		}
	}
}

// AwaitEnds waits until all interfaces that are being removed are gone. The caller does not hold
// the lock.
func (s *Switches) AwaitEnds() { s.ending.Wait() }

// isInterface reports whether a name is valid for an interface, and netmap takes it for one.
func isInterface(name string) bool {
	return name != "" && !strings.Contains(name, "%") && portname.KindOf(name) == portname.Interface
}

// memberOf returns the port as a member of a switch, nil if its kind cannot be one.
func memberOf(p *registry.Entry) *vale.Port {
	if m, ok := p.Port.(vale.Member); ok {
		return m.Member()
	}
	return nil
}

// valeName matches switch:port. The switch's name with its colon has at most 15 characters, and the
// port's name has at most 15.
var valeName = regexp.MustCompile(`^(vale[A-Za-z0-9_]*):(.*)$`)

// splitName splits a name into switch and port. ENOMEM for an invalid name.
func splitName(op, name string) (sw, port string, err error) {
	m := valeName.FindStringSubmatch(name)
	if m == nil || len(m[1])+1 >= abi.IfNameSize || len(m[2]) >= abi.IfNameSize {
		return "", "", fault.New(syscall.ENOMEM, op, name,
			"not a VALE port; want valeSWITCH:PORT, letters, digits and _ in SWITCH, at most "+
				"15 characters on either side of the colon")
	}
	return m[1], m[2], nil
}

const maxExtras = 128 * port.MaxSlots

// clamped limits a shape to what a VALE port can have.
func clamped(wish port.Shape) port.Shape { return wish.Clamped(vale.MaxRings, port.Usual) }

// Open makes the entry's port, on a switch and with the requested shape. EINVAL if isInterface,
// which means that the name behind the colon is that of an interface. The caller holds the lock.
func (s *Switches) Open(p *registry.Entry, isInterface bool, req *abi.Register) error {
	swName, portName, err := splitName("open", p.Name)
	if err != nil {
		return err
	}
	if isInterface {
		return fault.New(syscall.EINVAL, "open", p.Name,
			"%s is a network interface; choose another port name, or attach the interface to "+
				"the switch", portName)
	}
	sw, err := s.switchFor(swName, p.Name)
	if err != nil {
		return err
	}
	req.ExtraBufs = min(req.ExtraBufs, maxExtras)
	v, err := vale.NewPort(p.Region, p.Name, clamped(port.Wish(req)))
	if err == nil {
		err = sw.Join(v)
	}
	if err != nil {
		s.prune(sw)
		return err
	}
	p.Port = v
	p.OnClose(func() { s.prune(sw) })
	return nil
}

// switchFor returns the switch of that name for a port, and makes it if there is none. If the
// caller then joins no port, it must call prune.
func (s *Switches) switchFor(name, port string) (*vale.Switch, error) {
	if sw := s.switches[name]; sw != nil {
		return sw, nil
	}
	if len(s.switches) >= s.cfg.MaxSwitches {
		return nil, fault.New(syscall.ENOMEM, "make switch for", port,
			"there are %d switches already; close one or configure more", len(s.switches))
	}
	sw := vale.NewSwitch(name)
	sw.Number = s.freeNumber()
	s.switches[name] = sw
	return sw, nil
}

// prune removes a switch without ports.
func (s *Switches) prune(sw *vale.Switch) {
	if sw != nil && len(sw.Ports()) == 0 && s.switches[sw.Name()] == sw {
		delete(s.switches, sw.Name())
	}
}

// freeNumber returns the lowest number that no switch has.
func (s *Switches) freeNumber() int {
	taken := map[int]bool{}
	for _, sw := range s.switches {
		taken[sw.Number] = true
	}
	n := 0
	for taken[n] {
		n++
	}
	return n
}

// Port is a port in the list of all switches.
type Port struct {
	Name          string // switch:port
	Switch, Index int
}

// List lists the ports of all switches, as Engine.ValePorts does.
func (s *Switches) List() []Port {
	s.reg.Lock()
	defer s.reg.Unlock()
	var list []Port
	for name, p := range s.reg.OnSwitches() {
		if v := memberOf(p); v != nil && v.Switch() != nil {
			list = append(list, Port{name, v.Switch().Number, v.Index()})
		}
	}
	slices.SortFunc(list, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Switch, b.Switch), cmp.Compare(a.Index, b.Index))
	})
	return list
}

// All returns the switches sorted by name, and the names of their ports for users. The caller holds
// the lock.
func (s *Switches) All() (switches []*vale.Switch, names map[*vale.Port]string) {
	names = map[*vale.Port]string{}
	for _, p := range s.reg.Entries() {
		if v := memberOf(p); v != nil && !p.Hidden() {
			names[v] = p.Shown()
		}
	}
	for _, sw := range s.switches {
		switches = append(switches, sw)
	}
	slices.SortFunc(switches, func(a, b *vale.Switch) int { return cmp.Compare(a.Name(), b.Name()) })
	return switches, names
}
