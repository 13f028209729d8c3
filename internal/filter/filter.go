// Package filter compiles filter expressions as tcpdump has them, pcap-filter(7), and runs them on Ethernet frames.
//
//	p, err := filter.Compile("tcp port 80 and not src net 10.0.0.0/8")
//	…
//	if p.Match(frame) { … }
//
// An expression becomes a program of classic BPF, which means what libpcap's program for the same expression means; tests
// compare the two. What differs: names of hosts and networks are not looked up, an address has to be written; the words
// that need a capture device (inbound, ifname, …), those for link layers other than Ethernet, and the rare ones (protochain,
// mpls, pppoes, geneve, gateway, "ip broadcast") are not known; and names of protocols need no backslash ("ip proto tcp").
//
// The layers are, from text to verdict: words (lex.go), a tree of conditions (parse.go with primitive.go and arith.go, the
// tests themselves in layer.go), instructions (assemble.go), and the machine that runs them (machine.go).
package filter

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// Program is a compiled expression. It does not change, and may be used by several goroutines.
type Program struct {
	expr string
	raw  []bpf.RawInstruction
	code []step
}

// Error says what is wrong with an expression, and where.
type Error struct {
	Expr   string
	Offset int    // of the word that is wrong, in bytes
	Found  string // that word; "" is the end
	Want   string // what is wrong, or would be right
}

func (e *Error) Error() string {
	if e.Found == "" {
		return fmt.Sprintf("filter %q: at its end: %s", e.Expr, e.Want)
	}
	return fmt.Sprintf("filter %q: %q at %d: %s", e.Expr, e.Found, e.Offset, e.Want)
}

// Compile compiles an expression. The empty one matches every frame. An error is an *Error.
func Compile(expr string) (*Program, error) {
	c, err := parse(expr)
	if err != nil {
		return nil, err
	}
	raw := assemble(c)
	if len(raw) > maxInstructions {
		return nil, &Error{Expr: expr, Want: fmt.Sprintf("the expression is too long: %d instructions, and a kernel takes %d", len(raw), maxInstructions)}
	}
	return &Program{expr, raw, translate(raw)}, nil
}

// String is the expression.
func (p *Program) String() string { return p.expr }

// Match says whether the frame, from its Ethernet header on, matches. A frame that ends before a byte that the expression
// looks at does not. Match allocates nothing.
func (p *Program) Match(frame []byte) bool { return run(p.code, frame, uint32(len(frame))) }

// MatchPart is Match for the beginning of a frame that is length bytes long.
func (p *Program) MatchPart(frame []byte, length int) bool {
	return run(p.code, frame, uint32(length))
}

// Raw is the program in classic BPF, for a socket (SO_ATTACH_FILTER) or a capture file: it returns 0 for a frame that does
// not match, else 262144, the most bytes of a frame that libpcap keeps.
func (p *Program) Raw() []bpf.RawInstruction { return append([]bpf.RawInstruction(nil), p.raw...) }
