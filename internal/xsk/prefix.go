//go:build linux

package xsk

import "github.com/cilium/ebpf/asm"

const offsetDataEnd = 4 // in struct xdp_md

// Prefix marks frames for the host while a Generic program is on the interface. Other code has the
// host receive frames there; they pass through the program, which must distinguish them from frames
// of the wire. It is 16 bytes with an Ethernet header in them, whose source address is a secret, in
// the machine's byte order:
//
//	| destination | secret | type | 2 bytes |   interface with Ethernet frames
//	| 2 bytes | destination | secret | type |   interface whose frames have no such header:
//	                                            the header is right before the frame
type Prefix struct {
	Secret uint64 // the low 48 bits; 0 means that there is no prefix
	Bare   bool   // the interface's frames have no Ethernet header
}

// PrefixSize is the length of a prefix in bytes.
const PrefixSize = 16

// SourceAt is the offset of the secret in the prefix.
func (p Prefix) SourceAt() int {
	if p.Bare {
		return 8
	}
	return 6
}

// AttachGeneric is Attach in Generic mode for an interface on which other code has the host receive
// frames. The program cuts the prefix off such frames and passes them to the host.
func AttachGeneric(ifindex, queues int, prefix Prefix) (*Program, error) {
	return attach(ifindex, queues, Generic, strip(prefix))
}

// strip is the start of the program: if the frame starts with the prefix { cut it off, return
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
