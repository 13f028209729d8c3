package packet_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/bpf"
)

// assemble assembles a classic BPF program.
func assemble(t testing.TB, program ...bpf.Instruction) []bpf.RawInstruction {
	t.Helper()
	raw, err := bpf.Assemble(program)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// first20 is a program that passes the first 20 bytes of frames of a type.
func first20(t testing.TB, etherType uint32) []bpf.RawInstruction {
	return assemble(t, bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherType, SkipFalse: 1},
		bpf.RetConstant{Val: 20}, bpf.RetConstant{Val: 0})
}

func TestFilters(t *testing.T) {
	a, b := pair(t)
	arp, other := frame("an ARP request, so to speak"), frame("something else")
	arp[12], arp[13] = 0x08, 0x06
	check := func(what string, err error, want ...string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, a, other, arp)
		for _, w := range want {
			f := mustNext(t, b)
			if string(f.Data[14:]) != w || f.Length < len(f.Data) {
				t.Errorf("%s: %q of %d bytes", what, f.Data[14:], f.Length)
			}
		}
		wantNothing(t, b)
	}
	check("none", nil, "something else", "an ARP request, so to speak")
	check("an expression", b.SetBPFFilter("arp"), "an ARP request, so to speak")
	check("a program", b.SetBPF(first20(t, 0x0806)), "an ARP")
	check("a program for all", b.SetBPF(assemble(t, bpf.RetConstant{Val: 1 << 31})),
		"something else", "an ARP request, so to speak")
	allBut8 := assemble(t, bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.ALUOpConstant{Op: bpf.ALUOpSub, Val: 8}, bpf.RetA{})
	check("a length", b.SetBPF(allBut8), "someth", "an ARP request, so ")
	check("an expression for none", b.SetBPFFilter("ip6"))
	check("no expression", b.SetBPFFilter(""), "something else", "an ARP request, so to speak")
	check("a program again", b.SetBPF(first20(t, 0x1234)))
	check("no program", b.SetBPF(nil), "something else", "an ARP request, so to speak")
	if s := b.Stats(); s.Filtered != 6 || s.Received != 12 {
		t.Errorf("%+v", s)
	}
}

// The filter sees a frame of several slots as a whole.
func TestFilterSeesWholeFrames(t *testing.T) {
	a, b := pair(t)
	if err := b.SetBPFFilter("ether[5000] = 7 and len = 6000"); err != nil {
		t.Fatal(err)
	}
	marked := long(6000)
	marked[5000] = 7
	mustSend(t, a, long(6000), marked, long(6001))
	if f := mustNext(t, b); f.Length != 6000 || f.Data[5000] != 7 {
		t.Errorf("%d bytes", f.Length)
	}
	wantNothing(t, b)
}

func TestFilterErrors(t *testing.T) {
	a, b := pair(t)
	if err := b.SetBPFFilter("arp"); err != nil {
		t.Fatal(err)
	}
	if err := b.SetBPFFilter("tcp port"); !errors.Is(err, syscall.EINVAL) ||
		!strings.Contains(err.Error(), "want a port") {
		t.Error(err)
	}
	for what, program := range map[string][]bpf.RawInstruction{
		"no return":        {{Op: 0x28, K: 12}},
		"a jump too far":   {{Op: 0x05, K: 7}, {Op: 0x06}},
		"no instruction":   {{Op: 0xffff}, {Op: 0x06}},
		"negation":         assemble(t, bpf.NegateA{}, bpf.RetA{}),
		"an extension":     assemble(t, bpf.LoadExtension{Num: bpf.ExtVLANTag}, bpf.RetA{}),
		"scratch memory":   {{Op: 0x60, K: 99}, {Op: 0x16}},
		"division by zero": {{Op: 0x34, K: 0}, {Op: 0x16}},
	} {
		if err := b.SetBPF(program); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %v", what, err)
		}
	}
	mustSend(t, a, frame("the old filter is still set"))
	wantNothing(t, b)
}
