package engine

import (
	"regexp"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/null"
	"github.com/seed-48afdc40/netmap/internal/pipe"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/vale"
)

const valePrefix = "vale"

func (e *Engine) openNull(name string, req *abi.Register, region *mem.Region) (port.Port, error) {
	if req.MemID == 0 && region == e.region {
		return nil, fault.New(syscall.EINVAL, "open null port", name, "no memory id; a null port has to name its region, %d", e.region.ID())
	}
	if err := checkNull(name, req, region); err != nil {
		return nil, err
	}
	return null.New(region, name, wishOf(req)), nil
}

// valeName is switch:port. The switch's name with its colon has at most 15 characters, and so has the port's.
var valeName = regexp.MustCompile(`^(vale[A-Za-z0-9_]*):(.*)$`)

// splitValeName takes a name apart. ENOMEM for one that no switch or port can have.
func splitValeName(op, name string) (sw, port string, err error) {
	m := valeName.FindStringSubmatch(name)
	if m == nil || len(m[1])+1 >= abi.IfNameSize || len(m[2]) >= abi.IfNameSize {
		return "", "", fault.New(syscall.ENOMEM, op, name, "not a VALE port; want valeSWITCH:PORT, letters, digits and _ in SWITCH, at most 15 characters on either side of the colon")
	}
	return m[1], m[2], nil
}

func (e *Engine) openVale(t target, req *abi.Register, region *mem.Region) (port.Port, error) {
	name := t.name
	swName, portName, err := splitValeName("open", name)
	if err != nil {
		return nil, err
	}
	if t.isDevice {
		return nil, fault.New(syscall.EINVAL, "open", name, "%s is a network interface; choose another port name, or attach the interface to the switch", portName)
	}
	sw, err := e.switchFor(swName, name)
	if err != nil {
		return nil, err
	}
	clampVale(req)
	p, err := vale.NewPort(region, name, wishOf(req))
	if err == nil {
		err = sw.Join(p)
	}
	if err != nil {
		e.prune(sw)
		return nil, err
	}
	return p, nil
}

// switchFor is the switch of that name, a new one if there is none, for a port. Who then joins nothing to it has to prune
// it.
func (e *Engine) switchFor(name, port string) (*vale.Switch, error) {
	if sw := e.switches[name]; sw != nil {
		return sw, nil
	}
	if len(e.switches) >= e.cfg.MaxSwitches {
		return nil, fault.New(syscall.ENOMEM, "make switch for", port, "there are %d switches already; close one or configure more", len(e.switches))
	}
	sw := vale.NewSwitch(name)
	sw.Number = e.freeNumber()
	e.switches[name] = sw
	return sw, nil
}

// openPipe makes both ends and returns the one that is asked for; the other waits in the registry.
func (e *Engine) openPipe(t target, req *abi.Register, region *mem.Region) (port.Port, error) {
	k := t.key
	if k.name == "" || k.pipe == "" {
		return nil, fault.New(syscall.EINVAL, "open pipe", t.name, "want PARENT{ID or PARENT}ID")
	}
	if req.Mode != abi.RegAllNIC && req.Mode != abi.RegOneNIC {
		return nil, fault.New(syscall.EINVAL, "open pipe", t.name, "a pipe has no host rings")
	}
	if other := e.ports[k.other()]; other != nil {
		return other.Port.(*pipe.End).Peer(), nil
	}
	clampPipe(req, e.ports[t.parent])
	p := pipe.New(region, k.name+"{"+k.pipe, k.name+"}"+k.pipe, wishOf(req))
	if k.slave {
		return p.Slave, nil
	}
	return p.Master, nil
}

// regionOfPipe is the region of a pipe: the one in which its other end is, or the one wished for.
func (e *Engine) regionOfPipe(k key, wish *mem.Region) *mem.Region {
	if p := e.ports[k.other()]; p != nil {
		return p.Region
	}
	return wish
}

// freeNumber is the lowest number that no switch has.
func (e *Engine) freeNumber() int {
	taken := map[int]bool{}
	for _, s := range e.switches {
		taken[s.Number] = true
	}
	n := 0
	for taken[n] {
		n++
	}
	return n
}
