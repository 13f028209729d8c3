//go:build linux

// Package hoststack gives a program the host stack of a network interface as rings.
//
// The stack is reached through a TAP interface in the network interface's namespace. The TAP
// vanishes with this process, also when the process is killed:
//
//	host stack ── sends on the interface ── egress ──> TAP ── read ──> host rx ring
//	host stack <─ receives from the interface ─ ingress ── TAP <─ write ── host tx ring
//
// Egress and ingress are BPF programs (TCX) that redirect frames. Egress is attached only while
// netmap has all tx rings of the interface. The kernel chooses a frame's queue after egress has
// run, so egress cannot tell which frames would go through a queue that netmap has: a host whose
// interface is taken in part goes on sending. AF_XDP sends below TCX and does not meet egress.
//
// A TAP takes neither unfinished checksums nor segments that are still to be split. So the kernel
// does both before a frame is read from it, and puts VLAN tags in their places.
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

// frameOverhead is the number of bytes of a frame beyond the MTU: addresses, type, a VLAN tag.
const frameOverhead = 18

// MaxRings is the largest number of rings in each direction.
const MaxRings = 128

// Config describes a network interface to New.
type Config struct {
	Name     func() string // of the interface; it changes when the interface is renamed
	Index    int           // of the interface
	MTU      func() int    // current one
	Layer    tap.Layer     // what its frames start with
	TxQueues int           // tx queues of the interface

	TxRings, RxRings uint16 // host rings
	TxID, RxID       uint16 // number of the first ring: the number of hardware rings
	Slots            uint32 // slots of a ring
	Piece            uint32 // largest number of bytes in a slot

	// Prefix precedes frames to the host while generic XDP is on the interface. Without it the XDP
	// program would take them for received frames. The program removes it.
	Prefix  xsk.Prefix
	Address net.HardwareAddr // of the interface
	// Trouble returns the reason why no frame can move, nil if there is none.
	Trouble func() error
	// OnEvent receives an event when the host cannot be cut off or the TAP cannot be made; may be
	// nil.
	OnEvent func(event.Event)
}

// Use describes which rings of the interface netmap has.
type Use struct {
	Any     bool // at least one
	AllTx   bool // every tx ring: the host must not send past netmap
	Generic bool // XDP runs in generic mode
}

// Stack is the host stack of an interface. All methods but Sync and Send are called one at a time.
type Stack struct {
	cfg     Config
	region  *mem.Region
	ns      netns.NsHandle
	rings   [2][]*kring.Ring
	tx      []sender                    // by tx ring
	deleted atomic.Pointer[fault.Error] // set when somebody has deleted the TAP

	// The prefixes of frames to the host, see makePrefixes: [1] is for IPv6 packets without an
	// Ethernet header, [0] for all other frames.
	prefixes [2][xsk.PrefixSize]byte
	prefixed atomic.Bool // whether frames to the host are sent with a prefix

	mu      sync.Mutex // guards the following fields
	started int        // host rings in use
	use     Use
	egress  link.Link
	lost    *counter // frames that egress has dropped because there is no TAP
	tap     atomic.Pointer[hostTAP]
}

// New makes the host rings of an interface in the calling thread's network namespace. It does not
// change the interface; Follow and Start do. ENOMEM for too many rings.
func New(region *mem.Region, cfg Config) (*Stack, error) {
	if max(cfg.TxRings, cfg.RxRings) > MaxRings {
		return nil, fault.New(syscall.ENOMEM, "open", cfg.Name(),
			"%d tx and %d rx host rings; want at most %d", cfg.TxRings, cfg.RxRings, MaxRings)
	}
	here, err := netns.Get()
	if err != nil {
		return nil, fault.Wrap(err, "open", cfg.Name(), "")
	}
	s := &Stack{cfg: cfg, region: region, ns: here, tx: make([]sender, cfg.TxRings),
		prefixes: makePrefixes(&cfg)}
	for i := range cfg.TxRings {
		r := kring.New(fmt.Sprintf("%s host TX%d", cfg.Name(), i), abi.DirTx, cfg.TxID+i, cfg.Slots,
			s.syncTx)
		r.News, r.Leaf = kring.Silent, true
		s.rings[abi.DirTx] = append(s.rings[abi.DirTx], r)
	}
	for i := range cfg.RxRings {
		r := kring.New(fmt.Sprintf("%s host RX%d", cfg.Name(), i), abi.DirRx, cfg.RxID+i, cfg.Slots,
			s.syncRx)
		r.News, r.Leaf = kring.Readable, true
		s.rings[abi.DirRx] = append(s.rings[abi.DirRx], r)
	}
	return s, nil
}

var _ port.Port = (*Stack)(nil)

// Rings returns the host rings of a direction.
func (s *Stack) Rings(dir kring.Dir) []*kring.Ring { return s.rings[dir] }

// number returns a ring's index among the host rings of its direction.
func (s *Stack) number(r *kring.Ring) int {
	if r.Dir == abi.DirTx {
		return int(r.ID - s.cfg.TxID)
	}
	return int(r.ID - s.cfg.RxID)
}

// reach is the operation in errors about the TAP.
const reach = "reach the host stack of"

// Start brings a ring into use. EPERM, ENOENT or EOPNOTSUPP when the TAP cannot be made.
func (s *Stack) Start(r *kring.Ring) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := capability.Need(reach, s.cfg.Name(), capability.NetAdmin,
		capability.BPF); err != nil {
		return err
	}
	if err := r.Alloc(s.region, true); err != nil {
		return err
	}
	if r.Dir == abi.DirTx {
		s.tx[s.number(r)] = sender{}
	}
	s.started++
	if err := s.update(); err != nil {
		s.started--
		r.Free(0, r.N)
		return err
	}
	if r.Dir == abi.DirRx {
		r.FD.Store(int32(s.tap.Load().dev.FD(s.queue(r))))
	}
	return nil
}

// queue returns the TAP's queue that a ring uses. The TAP has as many queues as there are rx rings.
func (s *Stack) queue(r *kring.Ring) int { return s.number(r) % len(s.rings[abi.DirRx]) }

// Stop takes a ring out of use.
func (s *Stack) Stop(r *kring.Ring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.FD.Store(-1)
	r.Free(0, r.N)
	s.started--
	s.update()
}

// Follow is told which rings of the interface netmap has now. From the moment in which netmap has
// all tx rings, what the host sends goes to the host rx rings. If that fails, the host goes on
// sending on the interface, and OnEvent receives the error.
func (s *Stack) Follow(use Use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if use == s.use {
		return
	}
	s.use = use
	if err := s.update(); err != nil && s.cfg.OnEvent != nil {
		s.cfg.OnEvent(event.Event{Kind: event.HostTrouble, Interface: s.cfg.Name(), Err: err})
	}
}

// update makes or closes the TAP, and attaches or detaches egress, as s.use and s.started require.
func (s *Stack) update() error {
	return ns.Do(s.ns, s.cfg.Name(), func() error {
		var err error
		c := s.tap.Load()
		want := s.use.Any || s.started > 0
		if want && c == nil {
			if c, err = newHostTAP(&s.cfg, len(s.rings[abi.DirRx])); err == nil {
				s.tap.Store(c)
				s.deleted.Store(nil)
				s.releaseHost()
			}
		}
		if s.use.AllTx && s.egress == nil {
			if e := s.redirectHost(c); e != nil {
				err = e
			}
		}
		if !s.use.AllTx {
			s.releaseHost()
		}
		switch {
		case c == nil:
		case !want:
			s.tap.Store(nil)
			c.close()
		default:
			s.prefixed.Store(s.use.Generic)
		}
		return err
	})
}

// redirectHost attaches egress to the interface. If there is no TAP, egress drops what the host
// sends.
func (s *Stack) redirectHost(c *hostTAP) (err error) {
	to := 0
	if c != nil {
		to = c.index
	} else if s.lost, err = newCounter(); err != nil {
		return err
	}
	s.egress, err = attachEgress(&s.cfg, to, len(s.rings[abi.DirRx]), s.lost)
	return err
}

// releaseHost detaches egress: the host sends on the interface again.
func (s *Stack) releaseHost() {
	if s.egress != nil {
		s.egress.Close()
		s.egress = nil
	}
	if s.lost != nil {
		s.lost.close()
		s.lost = nil
	}
}

// Close ends the use of the stack. All rings must be stopped.
func (s *Stack) Close() error {
	s.Follow(Use{})
	return s.ns.Close()
}

// relabel updates the TAP's alias after the interface was renamed.
func (s *Stack) relabel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.tap.Load(); c != nil {
		// For people only: nothing depends on the alias, so an error does not matter.
		ns.Do(s.ns, s.cfg.Name(), func() error { return c.label(s.cfg.Name()) })
	}
}

// Wake is called when Config.Trouble has changed or the interface has a new name. It wakes all
// programs that sleep on a host ring. It implements kring.Waiter.
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

// Lost counts the frames from the host that were dropped for lack of room.
func (s *Stack) Lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return s.lost.value()
	}
	c, n := s.tap.Load(), uint64(0)
	if c != nil {
		ns.Do(s.ns, s.cfg.Name(), func() error {
			n = c.dropped()
			return nil
		})
	}
	return n
}
