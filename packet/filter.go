package packet

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/net/bpf"

	"github.com/seed-48afdc40/netmap/internal/filter"
)

// verdict is a filter: an expression or a program. nil passes everything.
type verdict struct {
	expression *filter.Program
	program    *bpf.VM
}

// pass reports whether a frame passes. It shortens Data to what the program asks for.
func (v *verdict) pass(f *Frame) bool {
	switch {
	case v == nil:
		return true
	case v.expression != nil:
		return v.expression.Match(f.Data)
	}
	n, err := v.program.Run(f.Data)
	if err != nil || n == 0 {
		return false
	}
	f.Data = f.Data[:min(uint(n), uint(len(f.Data)))]
	return true
}

// SetBPFFilter sets the filter to an expression in the syntax of tcpdump, see pcap-filter(7). Only
// frames that match are received from now on; all with "". EINVAL for an invalid expression; the
// error tells the position.
func (c *Conn) SetBPFFilter(expression string) error {
	if expression == "" {
		c.filter.Store(nil)
		return nil
	}
	p, err := filter.Compile(expression)
	if err != nil {
		return c.opError("set", fmt.Errorf("%w: %w", syscall.EINVAL, err))
	}
	c.filter.Store(&verdict{expression: p})
	return nil
}

// SetBPF sets the filter to a classic BPF program. From now on only frames for which the program
// returns a number n > 0 are received, and n bytes of each; without a program, all frames are.
// EINVAL for an invalid program, and for one that uses negation or the kernel's extensions (other
// than the length). SetBPF implements bpf.Setter.
func (c *Conn) SetBPF(program []bpf.RawInstruction) error {
	if len(program) == 0 {
		c.filter.Store(nil)
		return nil
	}
	vm, err := load(program)
	if err != nil {
		return c.opError("set", fmt.Errorf("%w: %w", syscall.EINVAL, err))
	}
	c.filter.Store(&verdict{program: vm})
	return nil
}

func load(program []bpf.RawInstruction) (*bpf.VM, error) {
	code, known := bpf.Disassemble(program)
	if !known {
		return nil, errors.New("the BPF program has an unknown instruction")
	}
	for _, in := range code {
		if _, ok := in.(bpf.NegateA); ok {
			return nil, errors.New("the BPF program uses negation: subtract from 0 instead")
		}
	}
	return bpf.NewVM(code)
}
