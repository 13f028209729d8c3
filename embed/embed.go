// Package embed carries the whole netmap framework inside a Go program: no daemon, no device, and
// no privileges unless a real interface is opened.
//
// Ports are named as on /dev/netmap. VALE switches ("vale0:a"), pipes ("x{1", "x}1") and their
// memory belong to the Framework: another process, and another Framework, has its own. Interfaces
// ("netmap:eth0") are those of the network namespace of the thread that calls Open, and need
// CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, and CAP_IPC_LOCK where the limit of locked memory (ulimit
// -l) is less than the buffers take.
package embed

import (
	"cmp"
	"log/slog"
	"sync"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/csb"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// Config sizes a framework. Zero values take the defaults.
//
// Memory is taken from the system as ports open, and given back some seconds after they close. A
// network interface needs all buffers while it is open, and the kernel about 120 bytes besides for
// each buffer and queue: a program that opens one and little else does well to set Buffers, to the
// slots of all its rings and some more.
type Config struct {
	Buffers  int // default 278528, for 100 VALE ports and 64 queues, but at most an eighth of the memory
	BufSize  int // bytes of a buffer, which is also how far apart they lie; default DefaultBufSize, 4096 for jumbo frames
	Rings    int // rings; default 1024
	RingSize int // bytes of a ring object; default 36864, which is 2288 slots: larger rings take several objects
	Ports    int // open at once; default 256. Without Buffers there are those of so many VALE ports
	Switches int // VALE switches at once; default 64
	NICSlots int // of an interface's ring; default 1024, 512 or 256 beyond 32 or 64 queues

	// RxTimestamps lets ports be opened with netmap.RxTimestamps. It takes 64 bytes from every
	// buffer: BufSize counts them, and no frame, or piece of one, may use them.
	RxTimestamps bool

	// NoHugePages keeps the memory out of huge pages, which are otherwise taken where the kernel
	// gives them. They make access faster, and zero-copy needs them.
	NoHugePages bool

	// Forward passes every frame that a program releases on an interface's rx rings to the other
	// side: what came from the wire to the host, what came from the host to the wire, if the port
	// has all tx rings, too. Otherwise a program chooses rings and slots. // the module's parameter
	// fwd
	Forward bool

	// Spin is how long Poll looks again and again before it sleeps: a wake-up costs microseconds,
	// spinning a core. With 0 it sleeps at once, but where frames come from an interface in quick
	// succession: there it looks for the next for 20 µs, as long as they do. Negative never looks.
	Spin time.Duration

	// Promisc has interfaces receive frames for any address, for as long as a port that receives is
	// open.
	Promisc bool

	// XDPMode is how interfaces exchange frames with their driver: "auto", which is also what ""
	// means, "zero-copy", "native" or "generic". Auto is the best in which an interface can
	// receive, as "netmap info" tells. Any other is used or fails: Open says EOPNOTSUPP for one
	// that the interface does not have. Native and generic differ in receiving only.
	XDPMode string

	// BusyPoll has Poll, RxSync and TxSync run the receive loop of an interface's driver, instead
	// of its interrupts: for programs that look all the time, it saves what interrupts cost, and on
	// veth the sender's core the receiver's work. An interface that no program looks at for as long
	// as BusyPoll is received from as usual. 0 leaves it to interrupts; Open says EOPNOTSUPP where
	// generic XDP is all that the interface has, and needs CAP_SYS_ADMIN besides: the interface's
	// napi_defer_hard_irqs and gro_flush_timeout are changed, and put back as other settings are.
	BusyPoll time.Duration

	// OnNote hears what users of an interface should know: when it comes into use, that its frames
	// have no Ethernet header, what its host loses meanwhile, which frames are too long; later, of
	// settings that could not be put back. That it is down or gone, ports say themselves. It may be
	// called by any goroutine, must not call the Framework, and may be nil.
	OnNote func(note string)

	// StateDir is where changed settings of interfaces (offloads, queues) are recorded until they
	// are put back: by closing the port, or after a crash by whoever opens the interface next and
	// by "netmap doctor --restore". Default /run/netmap, or a directory of the user's own who is
	// not root.
	StateDir string
}

// DefaultBufSize is how many bytes the buffers have, and lie apart, unless a Config says otherwise.
// Of every cache, buffers that are 2048 bytes apart have their first lines, which hold all of a
// short frame, in the same few sets, and those of a ring of 1024 slots push each other out: frames
// then cost up to twice as much. An odd number of cache lines spreads over all sets, and 33 are the
// least that hold 2048 bytes. "netmap serve" has 2048 nevertheless, as old programs know no other
// size; so may a program that wants frames cut into several slots as they are there.
const DefaultBufSize = 33 * 64

// Framework is a netmap of one's own. Its methods may be called by several goroutines.
type Framework struct {
	e       *engine.Engine
	spin    time.Duration
	started time.Time
	mu      sync.Mutex
	loops   map[*csb.Port]bool // open ports that have a sync loop
}

// New makes a framework. Errors: EINVAL for a size out of netmap's limits, an XDPMode that there is
// not or a BusyPoll out of bounds, ENOMEM.
func New(c Config) (*Framework, error) {
	c.BufSize = cmp.Or(c.BufSize, DefaultBufSize)
	nic := engine.NICConfig{Slots: uint32(c.NICSlots), Promisc: c.Promisc, StateDir: c.StateDir}
	if c.OnNote != nil {
		nic.OnEvent = func(e event.Event) {
			isTold := e.Kind == event.Down || e.Kind == event.Up || e.Kind == event.Gone // by errors of ports
			if e.Kind.Level >= slog.LevelWarn && !isTold {
				c.OnNote(e.String())
			}
		}
	}
	if err := nic.SetMode(c.XDPMode); err != nil {
		return nil, err
	}
	if err := nic.SetBusyPoll(c.BusyPoll); err != nil {
		return nil, err
	}
	e, err := engine.New(engine.Config{
		Region: mem.Config{
			If:     mem.Pool{Num: uint32(c.Ports)},
			Ring:   mem.Pool{Num: uint32(c.Rings), Size: uint32(c.RingSize)},
			Buf:    mem.Pool{Num: uint32(c.Buffers), Size: uint32(c.BufSize)},
			Stamps: c.RxTimestamps,
			NoHuge: c.NoHugePages,
		},
		Spin:        c.Spin,
		MaxSwitches: c.Switches,
		NIC:         nic,
		Forward:     c.Forward,
	})
	if err != nil {
		return nil, err
	}
	return &Framework{e: e, spin: c.Spin, started: time.Now(), loops: map[*csb.Port]bool{}}, nil
}

// Open opens a port. The grammar of names is that of package portname. Errors: EINVAL for a bad
// name or a ring that the port does not have, ENXIO for an interface that does not exist, EPERM
// without the capabilities for it, EBUSY when somebody holds it exclusively, ENOMEM when the
// framework's memory is used up.
func (f *Framework) Open(name string, options ...netmap.Option) (*netmap.Port, error) {
	opening, err := netmap.Request(name, options...)
	if err != nil {
		return nil, err
	}
	o, err := engineOptions(opening)
	if err != nil {
		return nil, err
	}
	b, err := f.e.RegisterWith(opening.Port, opening.Register, o)
	if err != nil {
		return nil, err
	}
	var t netmap.Transport = b
	if opening.Loop {
		if t, err = f.startLoop(opening.Port, b); err != nil {
			b.Close()
			return nil, err
		}
	}
	p, err := netmap.NewPort(name, t)
	if err != nil {
		t.Close()
		return nil, err
	}
	return p, nil
}

// engineOptions are the options of an opening, as the engine knows them.
func engineOptions(from netmap.Opening) (o engine.Options, err error) {
	if p := from.Offsets; p != nil {
		o.Offsets = &session.Offsets{Max: p.MaxOffset, Initial: p.InitialOffset, Bits: p.OffsetBits,
			MinGap: p.MinGap}
	}
	x := from.Extmem
	if x == nil {
		return o, nil
	}
	m, key := shm.Borrow(x.Memory), any(shm.Address(x.Memory))
	if x.File != "" {
		key = x.File
		if m, err = shm.MapFile(x.File); err != nil {
			return o, err
		}
	}
	o.Extmem = &engine.Extmem{Bytes: m.Bytes(), Key: key, Pools: mem.ConfigOf(x.Pools), Free: m.Close}
	return o, nil
}

// Attach makes an interface of the calling thread's network namespace a port of a switch:
// "vale0:eth0". Frames pass between it and the switch's other ports until Detach; nobody can open
// it meanwhile, and the host has no use of it. Errors: EINVAL for an interface that does not exist,
// EBUSY for one that is in use, EPERM without the capabilities for it, ENOMEM.
func (f *Framework) Attach(name string) error {
	_, err := f.e.Attach(name, abi.Register{Mode: abi.RegAllNIC})
	return err
}

// AttachHost is Attach that makes the interface's host stack a second port of the switch, so that
// the host goes on using the network, through the switch. Detach takes both off.
func (f *Framework) AttachHost(name string) error {
	_, err := f.e.Attach(name, abi.Register{Mode: abi.RegNICSW})
	return err
}

// Detach gives the interface back to the host. ENXIO when there is no such port on the switch.
func (f *Framework) Detach(name string) error {
	_, err := f.e.Detach(name)
	return err
}

// Close closes all ports and frees the memory. Frames and rings must not be touched afterwards.
func (f *Framework) Close() error {
	f.closeLoops()
	return f.e.Close()
}

// Usage is how much of the memory is in use.
func (f *Framework) Usage() Usage { return Usage(f.e.Region().Usage()) }

// Usage counts the objects of the three pools, free ones and all.
type Usage mem.Usage

// Full says whether nothing is allocated: all pools are full.
func (u Usage) Full() bool { return mem.Usage(u).Full() }

// PortStats is what is known of a port.
type PortStats struct {
	Name     string            // as it was opened, without the suffixes that choose rings
	Kind     string            // nic, vale, pipe, monitor or null
	Detail   string            // of a network interface, the AF_XDP mode: zero-copy, native copy or generic; of a monitor, what it sees
	Bindings int               // how many have it open
	Drops    map[string]uint64 // frames lost, by reason
}

// Stats describes the ports that are open, by name.
func (f *Framework) Stats() []PortStats {
	var all []PortStats
	for _, s := range f.e.Stats() {
		all = append(all, PortStats(s))
	}
	return all
}
