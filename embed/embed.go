// Package embed runs the whole netmap framework inside a Go program. It needs no daemon and no
// device, and no privileges unless the program opens a real interface.
//
// Ports are named as on /dev/netmap. VALE switches ("vale0:a"), pipes ("x{1", "x}1") and their
// memory belong to the Framework: other processes and other Frameworks have their own. Interfaces
// ("netmap:eth0") are those of the network namespace of the thread that calls Open. They need
// CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, and also CAP_IPC_LOCK if the limit of locked memory
// (ulimit -l) is less than the size of the buffers.
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
// Memory is taken from the system as ports open, and given back some seconds after they close. An
// open network interface needs all buffers, and the kernel needs about 120 bytes more for each
// buffer and queue. A program that opens one interface and little else should set Buffers to the
// slots of all its rings and some more.
type Config struct {
	// Buffers is how many buffers there are. The default is 278528, enough for 100 VALE ports and
	// 64 queues, but at most an eighth of the memory.
	Buffers int

	// BufSize is the size of a buffer in bytes, and the distance between buffers. The default is
	// DefaultBufSize; 4096 suits jumbo frames.
	BufSize int

	Rings int // how many rings there are; default 1024

	// RingSize is the size of a ring object in bytes. The default is 36864, for 2288 slots. A
	// larger ring takes several objects.
	RingSize int

	// Ports is how many ports may be open at once; default 256. If Buffers is 0, there are enough
	// buffers for so many VALE ports.
	Ports int

	Switches int // how many VALE switches there may be at once; default 64

	// NICSlots is how many slots a ring of an interface has. The default is 1024, but 512 beyond 32
	// queues, and 256 beyond 64.
	NICSlots int

	// RxTimestamps allows ports to be opened with netmap.RxTimestamps. It takes 64 bytes from every
	// buffer. BufSize includes them, but frames cannot use them.
	RxTimestamps bool

	// NoHugePages keeps the memory out of huge pages. Otherwise huge pages are used if the kernel
	// has them: access is faster, and zero-copy needs them.
	NoHugePages bool

	// Forward passes every frame that a program releases on an interface's rx rings to the other
	// side: frames from the wire to the host, and, if the port has all tx rings, frames from the
	// host to the wire. Without Forward, a program chooses rings and slots (the module's parameter
	// fwd).
	Forward bool

	// Spin is how long Poll looks for frames before it sleeps. A wake-up costs microseconds,
	// spinning costs a core. With 0, Poll sleeps at once, with one exception: while frames come
	// from an interface in quick succession, it first looks for 20 µs. With a negative Spin it
	// never looks.
	Spin time.Duration

	// Promisc makes interfaces receive frames for any address while a port that receives is open.
	Promisc bool

	// XDPMode is how interfaces exchange frames with their driver: "auto" (the same as ""),
	// "zero-copy", "native" or "generic". Auto is the best mode in which an interface can receive;
	// "netmap info" shows it. For any other mode, Open fails with EOPNOTSUPP if the interface does
	// not have it. Native and generic differ only in receiving.
	XDPMode string

	// BusyPoll makes Poll, RxSync and TxSync run the receive loop of an interface's driver, in
	// place of interrupts. A program that looks all the time saves the cost of interrupts, and on
	// veth the sender's core saves the receiver's work. An interface that no program has looked at
	// for BusyPoll receives with interrupts again. With 0 there are only interrupts. Open fails
	// with EOPNOTSUPP if the interface has only generic XDP. It also needs CAP_SYS_ADMIN, to change
	// the interface's napi_defer_hard_irqs and gro_flush_timeout, which are put back like other
	// settings.
	BusyPoll time.Duration

	// OnNote is called with what users of an interface should know: that it comes into use, that
	// its frames have no Ethernet header, what its host loses meanwhile, which frames are too long,
	// and which settings could not be put back. It is not called when an interface is down or gone:
	// the errors of its ports say so. Any goroutine may call OnNote. It must not call the
	// Framework. It may be nil.
	OnNote func(note string)

	// StateDir is where changed settings of interfaces (offloads, queues) are recorded until they
	// are put back. Closing the port puts them back; after a crash, so does the next program that
	// opens the interface, or "netmap doctor --restore". The default is /run/netmap for root, and a
	// directory of the user's own for others.
	StateDir string
}

// DefaultBufSize is the size of a buffer in bytes, and the distance between buffers, unless
// Config.BufSize is set. A distance of 2048 bytes would be slower: it puts the first lines of all
// buffers, which hold all of a short frame, into the same few sets of every cache. The buffers of a
// ring of 1024 slots then evict each other, and a frame costs up to twice as much. A distance of an
// odd number of cache lines uses all sets, and 33 lines are the least that hold 2048 bytes.
//
// "netmap serve" uses 2048 nevertheless, because old programs know no other size. Set it in a
// program that wants long frames split into slots as the daemon splits them.
const DefaultBufSize = 33 * 64

// Framework is a netmap inside the process. Its methods may be called by several goroutines.
type Framework struct {
	e       *engine.Engine
	spin    time.Duration
	started time.Time
	mu      sync.Mutex
	loops   map[*csb.Port]bool // open ports that have a sync loop
}

// New makes a framework. Errors: EINVAL for a size outside netmap's limits, an unknown XDPMode or a
// BusyPoll out of bounds; ENOMEM.
func New(c Config) (*Framework, error) {
	c.BufSize = cmp.Or(c.BufSize, DefaultBufSize)
	nic := engine.NICConfig{Slots: uint32(c.NICSlots), Promisc: c.Promisc, StateDir: c.StateDir}
	if c.OnNote != nil {
		nic.OnEvent = func(e event.Event) {
			// the ports' own errors report these
			isTold := e.Kind == event.Down || e.Kind == event.Up || e.Kind == event.Gone
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

// Open opens a port. Package portname defines the grammar of names. Errors: EINVAL for a bad name
// or a ring that the port does not have, ENXIO for an interface that does not exist, EPERM without
// the capabilities for it, EBUSY if another port holds it exclusively, ENOMEM if the framework's
// memory is used up.
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

// engineOptions translates the options of an opening for the engine.
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
// "vale0:eth0". Frames pass between it and the switch's other ports until Detach. Meanwhile it
// cannot be opened, and the host cannot use it. Errors: EINVAL for an interface that does not
// exist, EBUSY for one in use, EPERM without the capabilities for it, ENOMEM.
func (f *Framework) Attach(name string) error {
	_, err := f.e.Attach(engine.Here, name, abi.Register{Mode: abi.RegAllNIC})
	return err
}

// AttachHost is like Attach, and also makes the interface's host stack a port of the switch: the
// host goes on using the network, through the switch. Detach removes both.
func (f *Framework) AttachHost(name string) error {
	_, err := f.e.Attach(engine.Here, name, abi.Register{Mode: abi.RegNICSW})
	return err
}

// Detach removes the interface from the switch and gives it back to the host. ENXIO if the switch
// has no such port.
func (f *Framework) Detach(name string) error {
	_, err := f.e.Detach(engine.Here, name)
	return err
}

// Close closes all ports and frees the memory. The program must not touch frames and rings
// afterwards.
func (f *Framework) Close() error {
	f.closeLoops()
	return f.e.Close()
}

// Usage returns how much of the memory is in use.
func (f *Framework) Usage() Usage { return Usage(f.e.Region().Usage()) }

// Usage counts the objects of the three pools, all and free.
type Usage mem.Usage

// Full reports whether all pools are full: nothing is allocated.
func (u Usage) Full() bool { return mem.Usage(u).Full() }

// PortStats describes an open port.
type PortStats struct {
	Name string // as it was opened, without the suffixes that choose rings
	Kind string // nic, vale, pipe, monitor or null
	// AF_XDP mode of a network interface: zero-copy, native copy or generic; what a monitor sees
	Detail   string
	Bindings int               // how many programs have it open
	Drops    map[string]uint64 // frames lost, by reason
}

// Stats describes the open ports, sorted by name.
func (f *Framework) Stats() []PortStats {
	var all []PortStats
	for _, p := range f.e.Status().Ports {
		all = append(all, PortStats{p.Name, p.Kind, p.Detail, p.Users, p.AllDrops()})
	}
	return all
}
