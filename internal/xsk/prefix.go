//go:build linux

package xsk

import "github.com/cilium/ebpf/asm"

const offsetDataEnd = 4 // in struct xdp_md

// Prefix is what frames start with that others have the host receive while a Generic program is on
// the interface: they pass through the program, which has to tell them from received ones. It is 16
// bytes with an Ethernet header in it, whose source address is a secret, in the machine's byte
// order:
//
//	| destination | secret | type | 2 bytes |   interface with Ethernet frames
//	| 2 bytes | destination | secret | type |   interface whose frames have no such header: it comes right before the frame
type Prefix struct {
	Secret uint64 // of which the low 48 bits count; 0 is none at all
	Bare   bool   // the interface's frames have no Ethernet header
}

// PrefixSize is the number of its bytes.
const PrefixSize = 16

// SourceAt is where in it the secret is.
func (p Prefix) SourceAt() int {
	if p.Bare {
		return 8
	}
	return 6
}

// AttachGeneric is Attach in Generic mode for an interface on which others have the host receive
// frames, too. Those that start with the prefix lose it and go to the host.
func AttachGeneric(ifindex, queues int, prefix Prefix) (*Program, error) {
	return attach(ifindex, queues, Generic, strip(prefix))
}

// strip is what the program starts with: if the frame starts with the prefix { cut that off, return
// XDP_PASS }
func strip(prefix Prefix) asm.Instructions {
	const unused = 16 // bits of the word that follow the secret
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, offsetData, asm.Word),
		asm.LoadMem(asm.R3, asm.R6, offsetDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, PrefixSize),
		asm.JGT.Reg(asm.R4, asm.R3, "other"),
		asm.LoadMem(asm.R5, asm.R2, int16(prefix.SourceAt()), asm.DWord),
		asm.LSh.Imm(asm.R5, unused),
		asm.LoadImm(asm.R7, int64(prefix.Secret<<unused), asm.DWord),
		asm.JNE.Reg(asm.R5, asm.R7, "other"),
		asm.Mov.Imm(asm.R2, PrefixSize),
		asm.FnXdpAdjustHead.Call(),
		asm.Mov.Imm(asm.R0, xdpPass),
		asm.Return(),
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("other"),
	}
}
