//go:build linux

package hoststack

import (
	"errors"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

const (
	programLicense = "Dual BSD/GPL"

	// From linux/bpf.h.
	tcxDrop       = 2
	redirectToIn  = 1 // BPF_F_INGRESS
	offsetSkbLen  = 0 // of len in struct __sk_buff
	offsetSkbMark = 8

	// token marks what egress redirects (skb->mark), with the number of the ring in the low bits.
	token    = 0x6e746d00
	ringMask = 0xff
)

// attach makes a program, attaches it, and leaves it to the link.
func attach(name string, ifindex int, where ebpf.AttachType, code asm.Instructions) (link.Link, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, License: programLicense, Instructions: code})
	if err != nil {
		return nil, plain(err)
	}
	defer prog.Close()
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: prog, Attach: where})
	return l, plain(err)
}

// plain is the errno in an error of the library, whose text around it says no more.
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

// attachEgress puts a program on the interface that redirects everything to another one, or drops and counts it.
func attachEgress(cfg *Config, to, rings int, lost *counter) (link.Link, error) {
	code := drop(lost)
	if to > 0 {
		code = egress(to, cfg.TxQueues, rings)
	}
	return attach("netmap_egress", cfg.Index, ebpf.AttachTCXEgress, code)
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

// attach puts the programs on the TAP.
func (c *cable) attach(cfg *Config, queues int) (err error) {
	c.mode, err = ebpf.NewMap(&ebpf.MapSpec{Name: "netmap_mode", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return plain(err)
	}
	if err = give("netmap_filter", filter(), c.tap.Filter); err != nil {
		return err
	}
	if queues > 1 {
		if err = give("netmap_steer", steer(), c.tap.Steer); err != nil {
			return err
		}
	}
	c.ingress, err = attach("netmap_ingress", c.index, ebpf.AttachTCXIngress, ingress(cfg.Index, c.mode, cfg.Prefix))
	return err
}

// give makes a program and hands it to somebody who keeps it.
func give(name string, code asm.Instructions, to func(fd int) error) error {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SocketFilter, License: programLicense, Instructions: code})
	if err != nil {
		return plain(err)
	}
	defer prog.Close()
	return to(prog.FD())
}

// ingress is the program:
//
//	if *mode != 0 { put the prefix in front of the frame }
//	return bpf_redirect(to, BPF_F_INGRESS)
//
// Generic XDP, which comes later than TCX here, would take the frame for one that was received.
func ingress(to int, mode *ebpf.Map, prefix uint64) asm.Instructions {
	code := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	code = append(code, lookUp(mode)...)
	return append(code,
		asm.JEq.Imm(asm.R0, 0, "redirect"),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.Word),
		asm.JEq.Imm(asm.R0, 0, "redirect"),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 8),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnSkbChangeHead.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.LoadImm(asm.R1, int64(prefix), asm.DWord),
		asm.StoreMem(asm.R10, -8, asm.R1, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, -8),
		asm.Mov.Imm(asm.R4, 8),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),
		asm.Mov.Imm(asm.R1, int32(to)).WithSymbol("redirect"),
		asm.Mov.Imm(asm.R2, redirectToIn),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcxDrop).WithSymbol("drop"),
		asm.Return(),
	)
}

// filter is the program: return skb->mark &^ ringMask == token ? skb->len : 0. It lets nothing reach us that egress has not
// redirected, whatever somebody does to the TAP.
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
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "netmap_lost", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return nil, plain(err)
	}
	return &counter{m}, nil
}

func (c *counter) value() (n uint64) {
	c.m.Lookup(uint32(0), &n)
	return n
}

func (c *counter) close() { c.m.Close() }
