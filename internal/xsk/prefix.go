//go:build linux

package xsk

import "github.com/cilium/ebpf/asm"

const offsetDataEnd = 4 // in struct xdp_md

// AttachGeneric is Attach in Generic mode for an interface on which others have the host receive frames, too: those pass through
// the program as well. Frames that start with the 8 bytes of prefix, in the machine's byte order, lose them and go to the host.
func AttachGeneric(ifindex, queues int, prefix uint64) (*Program, error) {
	return attach(ifindex, queues, Generic, strip(prefix))
}

// strip is what the program starts with: if the frame starts with the prefix { cut that off, return XDP_PASS }
func strip(prefix uint64) asm.Instructions {
	const size = 8
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, offsetData, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, offsetDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, size),
		asm.JGT.Reg(asm.R4, asm.R3, "other"),
		asm.LoadMem(asm.R5, asm.R2, 0, asm.DWord),
		asm.LoadImm(asm.R7, int64(prefix), asm.DWord),
		asm.JNE.Reg(asm.R5, asm.R7, "other"),
		asm.Mov.Imm(asm.R2, size),
		asm.FnXdpAdjustHead.Call(),
		asm.Mov.Imm(asm.R0, xdpPass),
		asm.Return(),
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("other"),
	}
}
