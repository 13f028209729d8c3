//go:build linux

package xsk

import (
	"errors"
	"slices"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

const (
	stampSize      = 8
	offsetData     = 0 // in struct xdp_md
	offsetDataMeta = 8
	stampAt        = -stampSize // on the stack of the program
	stampFunc      = "bpf_xdp_metadata_rx_timestamp"
	redirectLabel  = "redirect"
)

// AttachStamping is Attach of a program that asks the driver when each frame arrived and writes the
// answer in front of the frame, for Socket.Stamp. The memory of the sockets needs Spare. EOPNOTSUPP
// if the driver cannot tell, the kernel cannot ask, or the mode is Generic.
func AttachStamping(ifindex, queues int, mode Mode) (*Program, error) {
	name, err := ifname(attachOp, ifindex)
	if err != nil {
		return nil, err
	}
	if mode == Generic {
		return nil, fault.New(unix.EOPNOTSUPP, attachOp, name,
			"in %v mode nothing tells when a frame arrived: it takes XDP in the driver", mode)
	}
	ask, err := askDriver()
	if err != nil {
		return nil, fault.New(unix.EOPNOTSUPP, attachOp, name,
			"this kernel cannot be asked when a frame arrived: it takes Linux 6.3 with BTF, "+
				"and a 64-bit program: %v", err)
	}
	p, err := attach(ifindex, queues, mode, note(ask))
	if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EPERM) {
		return nil, fault.New(unix.EOPNOTSUPP, attachOp, name,
			"its driver does not tell when a frame arrived: %v", err)
	}
	return p, err
}

// askDriver calls the kernel's function that asks the driver (bpf_xdp_metadata_rx_timestamp). The
// context is in R6; the answer goes to the stack.
func askDriver() (asm.Instructions, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, err
	}
	var f *btf.Func
	if err := spec.TypeByName(stampFunc, &f); err != nil {
		return nil, err
	}
	id, err := spec.TypeID(f)
	if err != nil {
		return nil, err
	}
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stampAt),
		{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall,
			Constant: int64(id)},
	}, nil
}

// asksDriver tells whether the instructions call a function of the driver, so that the
// program is bound to the interface for which it is loaded.
func asksDriver(list asm.Instructions) bool {
	return slices.ContainsFunc(list, func(i asm.Instruction) bool { return i.IsKfuncCall() })
}

// note runs before redirect. It writes the answer that ask puts on the stack, 0 if there is none,
// into 8 bytes in front of the frame. A frame without room for it gets no time stamp.
func note(ask asm.Instructions) asm.Instructions {
	list := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R2, -stampSize),
		asm.FnXdpAdjustMeta.Call(),
		asm.JNE.Imm(asm.R0, 0, redirectLabel),
		asm.Mov.Imm(asm.R3, 0),
		asm.StoreMem(asm.RFP, stampAt, asm.R3, asm.DWord),
	}
	list = append(list, ask...)
	return append(list,
		asm.LoadMem(asm.R2, asm.R6, offsetDataMeta, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, offsetData, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R2),
		asm.Add.Imm(asm.R1, stampSize),
		asm.JGT.Reg(asm.R1, asm.R3, redirectLabel), // never true, but the verifier requires the check
		asm.LoadMem(asm.R1, asm.RFP, stampAt, asm.DWord),
		asm.StoreMem(asm.R2, 0, asm.R1, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol(redirectLabel),
	)
}
