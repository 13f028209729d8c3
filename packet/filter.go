package packet

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/net/bpf"

	"github.com/seed-48afdc40/netmap/internal/filter"
)

// verdict is a filter: one of the two, nil passes everything.
type verdict struct {
	expression *filter.Program
	program    *bpf.VM
}

// pass says whether a frame passes, and cuts what the filter does not want of it.
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

// SetBPFFilter has only frames received that match an expression as tcpdump has them, pcap-filter(7); all with "". It holds for
// frames that are read from now on. EINVAL for an expression that makes no sense, and the error says where.
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

// SetBPF has only frames received for which the classic BPF program returns other than 0, and of each that many bytes; all with
// no program. It holds for frames that are read from now on. It implements bpf.Setter. EINVAL for what is no program, or uses the
// kernel's extensions (other than the length) or negation.
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
			return nil, errors.New("the BPF program negates, which is not supported; subtract from 0")
		}
	}
	return bpf.NewVM(code)
}
