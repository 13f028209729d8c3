//go:build linux

// Package hoststack makes a network interface's host stack a pair of rings, or several.
//
// The stack is reached through a TAP interface, the cable, that lies in the namespace of the network interface and goes
// with the process, whichever way that ends:
//
//	host stack ── sends on the interface ── egress ──> TAP ── read ──> host rx ring
//	host stack <─ receives from the interface ─ ingress ── TAP <─ write ── host tx ring
//
// Egress and ingress are BPF programs (TCX) that redirect. Egress is on the network interface only while netmap has it, which
// is to say all its tx rings: the kernel chooses the queue of a frame after it has asked egress, so there is no telling which
// frames would go through a queue that netmap has, and a host whose interface is taken in part goes on sending. AF_XDP sends
// below TCX and does not meet egress.
//
// A TAP takes neither unfinished checksums nor segments that are still to be cut, so the kernel does both before we read,
// and puts VLAN tags where they belong.
package hoststack

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netns"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/capability"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/ns"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// frameOverhead is what a frame has beyond the MTU: addresses, type, a VLAN tag.
const frameOverhead = 18

// MaxRings is how many rings there may be in each direction.
const MaxRings = 128

// Config is what has to be known of a network interface.
type Config struct {
	Name     func() string // of the interface, which may be renamed
	Index    int           // likewise
	MTU      func() int    // of now
	Layer    tap.Layer     // what its frames start with
	TxQueues int           // tx queues of the interface

	TxRings, RxRings uint16 // host rings
	TxID, RxID       uint16 // number of the first one: how many hardware rings there are
	Slots            uint32 // of a ring
	Piece            uint32 // bytes of a frame that go into a slot

	// Prefix is what frames to the host start with while generic XDP is on the interface, or it would take them for frames
	// that were received. The XDP program takes it off.
	Prefix  xsk.Prefix
	Address net.HardwareAddr // of the interface
	// Trouble is why nothing can move, nil if all is well.
	Trouble func() error
	// OnEvent hears why the host could not be cut off, or has no cable; may be nil.
	OnEvent func(event.Event)
}

// Use is what netmap has of the interface itself.
type Use struct {
	Any     bool // some ring
	AllTx   bool // every tx ring: the host must not send any more
	Generic bool // in generic mode
}

// Stack is the host stack of an interface. Its methods but Sync and Send are called one at a time.
type Stack struct {
	cfg    Config
	region *mem.Region
	ns     netns.NsHandle
	rings  [2][]*kring.Ring
	tx     []sender                    // by tx ring
	cut    atomic.Pointer[fault.Error] // somebody deleted the TAP

	prefixes [2][xsk.PrefixSize]byte // of frames to the host: IPv4 packets and all that have an Ethernet header, IPv6 packets
	prefixed atomic.Bool             // frames to the host need one

	mu      sync.Mutex // what follows
	started int        // host rings in use
	use     Use
	egress  link.Link
	lost    *counter // frames that egress drops because there is no cable
	cable   atomic.Pointer[cable]
}

// New makes the host rings of an interface of the calling thread's network namespace. Nothing happens to the interface before
// Follow or Start. ENOMEM for too many rings.
func New(region *mem.Region, cfg Config) (*Stack, error) {
	if max(cfg.TxRings, cfg.RxRings) > MaxRings {
		return nil, fault.New(syscall.ENOMEM, "open", cfg.Name(),
			"%d tx and %d rx host rings; want at most %d", cfg.TxRings, cfg.RxRings, MaxRings)
	}
	here, err := netns.Get()
	if err != nil {
		return nil, fault.Wrap(err, "open", cfg.Name(), "")
	}
	s := &Stack{cfg: cfg, region: region, ns: here, tx: make([]sender, cfg.TxRings), prefixes: makePrefixes(&cfg)}
	for i := range cfg.TxRings {
		r := kring.New(fmt.Sprintf("%s host TX%d", cfg.Name(), i), abi.DirTx, cfg.TxID+i, cfg.Slots, s.syncTx)
		r.News, r.Leaf = kring.Silent, true
		s.rings[abi.DirTx] = append(s.rings[abi.DirTx], r)
	}
	for i := range cfg.RxRings {
		r := kring.New(fmt.Sprintf("%s host RX%d", cfg.Name(), i), abi.DirRx, cfg.RxID+i, cfg.Slots, s.syncRx)
		r.News, r.Leaf = kring.Readable, true
		s.rings[abi.DirRx] = append(s.rings[abi.DirRx], r)
	}
	return s, nil
}

var _ port.Port = (*Stack)(nil)

// Rings are the host rings of a direction.
func (s *Stack) Rings(dir kring.Dir) []*kring.Ring { return s.rings[dir] }

// number is a ring's number among the host rings.
func (s *Stack) number(r *kring.Ring) int {
	if r.Dir == abi.DirTx {
		return int(r.ID - s.cfg.TxID)
	}
	return int(r.ID - s.cfg.RxID)
}

// reach is what fails when there can be no cable.
const reach = "reach the host stack of"

// Start brings a ring into use. EPERM, ENOENT or EOPNOTSUPP when there can be no cable.
func (s *Stack) Start(r *kring.Ring) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := capability.Need(reach, s.cfg.Name(), capability.NetAdmin, capability.BPF); err != nil {
		return err
	}
	if err := r.Alloc(s.region, true); err != nil {
		return err
	}
	if r.Dir == abi.DirTx {
		s.tx[s.number(r)] = sender{}
	}
	s.started++
	if err := s.settle(); err != nil {
		s.started--
		r.Free(0, r.N)
		return err
	}
	if r.Dir == abi.DirRx {
		r.FD.Store(int32(s.cable.Load().tap.FD(s.queue(r))))
	}
	return nil
}

// queue is the TAP's queue that a ring uses. There are as many as rx rings.
func (s *Stack) queue(r *kring.Ring) int { return s.number(r) % len(s.rings[abi.DirRx]) }

// Stop is the inverse.
func (s *Stack) Stop(r *kring.Ring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.FD.Store(-1)
	r.Free(0, r.N)
	s.started--
	s.settle()
}

// Follow says what netmap has of the interface now. What the host sends is netmap's from the moment in which all tx rings are
// in use. If that cannot be, the host goes on sending, and OnEvent hears of it.
func (s *Stack) Follow(use Use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if use == s.use {
		return
	}
	s.use = use
	if err := s.settle(); err != nil && s.cfg.OnEvent != nil {
		s.cfg.OnEvent(event.Event{Kind: event.HostTrouble, Interface: s.cfg.Name(), Err: err})
	}
}

// settle brings the kernel to where it has to be: a cable while anything is in use, egress while netmap has the interface.
func (s *Stack) settle() error {
	return ns.Do(s.ns, s.cfg.Name(), func() error {
		var err error
		c := s.cable.Load()
		want := s.use.Any || s.started > 0
		if want && c == nil {
			if c, err = lay(&s.cfg, len(s.rings[abi.DirRx])); err == nil {
				s.cable.Store(c)
				s.cut.Store(nil)
				s.release()
			}
		}
		if s.use.AllTx && s.egress == nil {
			if e := s.take(c); e != nil {
				err = e
			}
		}
		if !s.use.AllTx {
			s.release()
		}
		switch {
		case c == nil:
		case !want:
			s.cable.Store(nil)
			c.close()
		default:
			s.prefixed.Store(s.use.Generic)
		}
		return err
	})
}

// take puts egress on the interface. Without a cable what the host sends is dropped.
func (s *Stack) take(c *cable) (err error) {
	to := 0
	if c != nil {
		to = c.index
	} else if s.lost, err = newCounter(); err != nil {
		return err
	}
	s.egress, err = attachEgress(&s.cfg, to, len(s.rings[abi.DirRx]), s.lost)
	return err
}

// release takes it off: the host has its interface again.
func (s *Stack) release() {
	if s.egress != nil {
		s.egress.Close()
		s.egress = nil
	}
	if s.lost != nil {
		s.lost.close()
		s.lost = nil
	}
}

// Close ends the use of the stack; all rings are stopped.
func (s *Stack) Close() error {
	s.Follow(Use{})
	return s.ns.Close()
}

// relabel has the cable say whose it is, after the interface was renamed.
func (s *Stack) relabel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cable.Load(); c != nil {
		ns.Do(s.ns, s.cfg.Name(), func() error { return c.label(s.cfg.Name()) }) // for people: nothing depends on it
	}
}

// Wake is told when there is trouble, or it is over, or the interface has a new name. It wakes
// everybody who sleeps on a host ring, and implements kring.Waiter.
func (s *Stack) Wake() {
	s.relabel()
	s.wakeAll()
}

func (s *Stack) wakeAll() {
	for _, rings := range s.rings {
		for _, r := range rings {
			r.Waiters.Wake()
		}
	}
}

// Lost counts the frames of the host that found no room.
func (s *Stack) Lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return s.lost.value()
	}
	c, n := s.cable.Load(), uint64(0)
	if c != nil {
		ns.Do(s.ns, s.cfg.Name(), func() error {
			n = c.dropped()
			return nil
		})
	}
	return n
}
