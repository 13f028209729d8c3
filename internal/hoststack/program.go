//go:build linux

package hoststack

import (
	"errors"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

const (
	programLicense = "Dual BSD/GPL"

	// From linux/bpf.h.
	tcxDrop       = 2
	redirectToIn  = 1 // BPF_F_INGRESS
	offsetSkbLen  = 0 // of len in struct __sk_buff
	offsetSkbMark = 8

	// token marks the frames that egress redirects (skb->mark). The low bits are the number of the
	// ring.
	token    = 0x6e746d00
	ringMask = 0xff
)

// attach loads a program and attaches it to the interface with this index and name (on). The
// returned link keeps the program.
func attach(name string, ifindex int, on string, where ebpf.AttachType,
	code asm.Instructions) (link.Link, error) {
	prog, err := load(name, ebpf.SchedCLS, code)
	if err != nil {
		return nil, err
	}
	defer prog.Close()
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: prog, Attach: where})
	if err != nil {
		return nil, attachHints.Wrap(plain(err), "attach BPF program "+name+" to", on)
	}
	return l, nil
}

func load(name string, kind ebpf.ProgramType, code asm.Instructions) (*ebpf.Program, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: kind, License: programLicense,
		Instructions: code})
	if err != nil {
		return nil, loadHints.Wrap(plain(err), "load BPF program", name)
	}
	return prog, nil
}

var (
	loadHints = fault.Hints{
		syscall.EPERM: "needs CAP_BPF and CAP_NET_ADMIN, and before Linux 5.11 " +
			"a limit of locked memory that allows it (ulimit -l)",
		syscall.ENOMEM: "there is not enough memory",
	}
	attachHints = fault.Hints{
		syscall.EOPNOTSUPP: "needs TCX, Linux 6.6",
		syscall.EPERM:      "needs CAP_NET_ADMIN and CAP_BPF",
		syscall.ENODEV:     "the interface is gone",
		syscall.ERANGE:     "it has as many TCX programs as it can have: see 'bpftool net'",
	}
)

// plain returns the errno in an error of package ebpf. The text around the errno adds nothing.
func plain(err error) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, ebpf.ErrNotSupported):
		return syscall.EOPNOTSUPP
	case errors.As(err, &errno):
		return errno
	}
	return err
}

// attachEgress attaches a program to the interface that redirects every frame to the interface with
// index to. If to is 0, the program counts every frame in lost and drops it.
func attachEgress(cfg *Config, to, rings int, lost *counter) (link.Link, error) {
	code := drop(lost)
	if to > 0 {
		code = egress(to, cfg.TxQueues, rings)
	}
	return attach("netmap_egress", cfg.Index, cfg.Name(), ebpf.AttachTCXEgress, code)
}

// egress is the program:
//
//	ring = reciprocal(hash, queues) % rings    the queue that the kernel would choose by default
//	skb->mark = token | ring
//	return bpf_redirect(to, 0)
func egress(to, queues, rings int) asm.Instructions {
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R7, 0),
	}
	if rings > 1 {
		code = append(code,
			asm.FnGetHashRecalc.Call(),
			asm.Mov.Reg32(asm.R7, asm.R0),
			asm.Mul.Imm(asm.R7, int32(queues)),
			asm.RSh.Imm(asm.R7, 32),
			asm.Mod.Imm(asm.R7, int32(rings)),
		)
	}
	return append(code,
		asm.Or.Imm(asm.R7, token),
		asm.StoreMem(asm.R6, offsetSkbMark, asm.R7, asm.Word),
		asm.Mov.Imm(asm.R1, int32(to)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
	)
}

// drop is the program: lost++, return TCX_DROP.
func drop(lost *counter) asm.Instructions {
	if lost == nil {
		return nil
	}
	return append(lookUp(lost.m),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, tcxDrop).WithSymbol("drop"),
		asm.Return(),
	)
}

// lookUp leaves the address of the only entry of a map in R0.
func lookUp(m *ebpf.Map) asm.Instructions {
	return asm.Instructions{
		asm.StoreImm(asm.R10, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.FnMapLookupElem.Call(),
	}
}

// attach attaches the programs to the TAP.
func (c *hostTAP) attach(cfg *Config, queues int) (err error) {
	if err = give("netmap_filter", filter(), c.dev.Filter); err != nil {
		return err
	}
	if queues > 1 {
		if err = give("netmap_steer", steer(), c.dev.Steer); err != nil {
			return err
		}
	}
	c.ingress, err = attach("netmap_ingress", c.index, c.dev.Name(), ebpf.AttachTCXIngress,
		ingress(cfg.Index))
	return err
}

// give loads a program and calls to with it. What to attaches the program to keeps it.
func give(name string, code asm.Instructions, to func(fd int) error) error {
	prog, err := load(name, ebpf.SocketFilter, code)
	if err != nil {
		return err
	}
	defer prog.Close()
	return to(prog.FD())
}

// ingress is the program: return bpf_redirect(to, BPF_F_INGRESS)
func ingress(to int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, int32(to)),
		asm.Mov.Imm(asm.R2, redirectToIn),
		asm.FnRedirect.Call(),
		asm.Return(),
	}
}

// filter is the program: return skb->mark &^ ringMask == token ? skb->len : 0. It drops
// what was sent on the TAP itself: egress has not redirected that.
func filter() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, offsetSkbMark, asm.Word),
		asm.And.Imm(asm.R2, ^ringMask),
		asm.Mov.Imm(asm.R0, 0),
		asm.JNE.Imm(asm.R2, token, "end"),
		asm.LoadMem(asm.R0, asm.R1, offsetSkbLen, asm.Word),
		asm.Return().WithSymbol("end"),
	}
}

// steer is the program: return skb->mark & ringMask. The TAP puts the frame into that queue.
func steer() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R0, asm.R1, offsetSkbMark, asm.Word),
		asm.And.Imm(asm.R0, ringMask),
		asm.Return(),
	}
}

// counter is a number that a program counts up.
type counter struct{ m *ebpf.Map }

func newCounter() (*counter, error) {
	const name = "netmap_lost"
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: 8,
		MaxEntries: 1})
	if err != nil {
		return nil, loadHints.Wrap(plain(err), "make BPF map", name)
	}
	return &counter{m}, nil
}

func (c *counter) value() (n uint64) {
	c.m.Lookup(uint32(0), &n)
	return n
}

func (c *counter) close() { c.m.Close() }
