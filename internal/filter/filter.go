// Package filter compiles filter expressions in the syntax of tcpdump, pcap-filter(7), and runs
// them on Ethernet frames.
//
//	p, err := filter.Compile("tcp port 80 and not src net 10.0.0.0/8")
//	…
//	if p.Match(frame) { … }
//
// An expression becomes a program of classic BPF. The program matches the same frames as libpcap's
// for the expression; tests compare the two. There are these differences: Names of hosts and
// networks are not looked up, so addresses must be written. Words that need a capture device
// (inbound, ifname, …), words for link layers other than Ethernet, and some rare ones (protochain,
// mpls, pppoes, geneve, gateway, "ip broadcast") are not supported. Names of protocols need no
// backslash ("ip proto tcp").
//
// The layers are, from text to result: words (lex.go); a tree of conditions (parse.go, primitive.go
// and arith.go; layer.go has the tests); instructions (assemble.go); the machine that runs them
// (machine.go).
//
// The package is large because tcpdump's language has many words, and all meet in one tree.
package filter

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// Program is a compiled expression. It does not change. Several goroutines may use it.
type Program struct {
	expr string
	raw  []bpf.RawInstruction
	code []step
}

// Error describes what is wrong in an expression, and where.
type Error struct {
	Expr   string
	Offset int    // of the wrong word, in bytes
	Found  string // the wrong word; "" is the end
	Want   string // what is wrong or would be right
}

func (e *Error) Error() string {
	if e.Found == "" {
		return fmt.Sprintf("filter %q: at its end: %s", e.Expr, e.Want)
	}
	return fmt.Sprintf("filter %q: %q at %d: %s", e.Expr, e.Found, e.Offset, e.Want)
}

// Compile compiles an expression. "" matches every frame. Errors are of type *Error.
func Compile(expr string) (*Program, error) {
	c, err := parse(expr)
	if err != nil {
		return nil, err
	}
	raw := assemble(c)
	if len(raw) > maxInstructions {
		want := fmt.Sprintf("the expression is too long: %d instructions, and a kernel allows %d",
			len(raw), maxInstructions)
		return nil, &Error{Expr: expr, Want: want}
	}
	return &Program{expr, raw, translate(raw)}, nil
}

// String returns the expression.
func (p *Program) String() string { return p.expr }

// Match reports whether the frame matches. The frame starts with its Ethernet header. It does not
// match if it ends before a byte that the expression uses. Match allocates nothing.
func (p *Program) Match(frame []byte) bool { return run(p.code, frame, uint32(len(frame))) }

// MatchPart is Match for the beginning of a frame of length bytes.
func (p *Program) MatchPart(frame []byte, length int) bool {
	return run(p.code, frame, uint32(length))
}

// Raw returns the program in classic BPF, for a socket (SO_ATTACH_FILTER) or a capture file. The
// program returns 0 for a frame that does not match, and 262144 for one that does: libpcap keeps at
// most so many bytes of a frame.
func (p *Program) Raw() []bpf.RawInstruction { return append([]bpf.RawInstruction(nil), p.raw...) }
