package filter

import (
	"slices"
	"strconv"
)

// relations compare two numbers.
var relations = []string{"=", "!=", "<", "<=", ">", ">="}

// precedence lists the arithmetic operators; those that bind weakest come first.
var precedence = [][]string{{"|", "&", "^"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"}}

var operators = slices.Concat(precedence...)

var operatorCode = map[string]uint16{
	"|": orX, "&": andX, "^": xorX, "<<": shiftLeftX, ">>": shiftRightX,
	"+": addX, "-": subX, "*": mulX, "/": divX, "%": modX,
}

// constants are names that stand for numbers.
var constants = map[string]uint32{
	"tcpflags": 13, "icmptype": 0, "icmpcode": 1, "icmp6type": 0, "icmp6code": 1,
	"tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32,
	"tcp-ece": 64, "tcp-cwr": 128,
	"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5,
	"icmp-echo": 8, "icmp-routeradvert": 9,
	"icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13,
	"icmp-tstampreply": 14,
	"icmp-ireq":        15, "icmp-ireqreply": 16, "icmp-maskreq": 17, "icmp-maskreply": 18,
	"icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3,
	"icmp6-parameterproblem": 4,
	"icmp6-echo":             128, "icmp6-echoreply": 129, "icmp6-multicastlistenerquery": 130,
	"icmp6-multicastlistenerreportv1": 131,
	"icmp6-multicastlistenerdone":     132, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134,
	"icmp6-neighborsolicit": 135,
	"icmp6-neighboradvert":  136, "icmp6-redirect": 137,
}

// value is a number: a known one, or instructions that compute it into the accumulator.
type value struct {
	known bool
	n     uint32
	steps []instruction
	guard *cond // the condition under which a frame has the number
	depth int   // words of scratch memory that the steps use
}

// relation parses a comparison of two numbers. A frame that lacks one of them does not match.
func (p *parser) relation() *cond {
	a := p.arith(0, 0)
	if !p.is(relations...) {
		p.fail("want a comparison: = != < <= > >=")
	}
	sign := p.peek().text
	p.at++
	b := p.arith(0, 0)
	var c *cond
	compare := func(jump uint16) *cond {
		if b.known {
			return test(jump, b.n, a.load()...)
		}
		return test(jump|operandX, 0, p.bothLoaded(a, b)...)
	}
	switch sign {
	case "=":
		c = compare(jumpEqual)
	case "!=":
		c = not(compare(jumpEqual))
	case ">":
		c = compare(jumpGreater)
	case ">=":
		c = compare(jumpGreaterEqual)
	case "<":
		c = not(compare(jumpGreaterEqual))
	case "<=":
		c = not(compare(jumpGreater))
	}
	return and(a.guard, b.guard, c)
}

// load returns instructions that put the value into the accumulator.
func (v value) load() []instruction {
	if v.known {
		return []instruction{ins(loadK, v.n)}
	}
	return v.steps
}

// bothLoaded returns instructions that put a into the accumulator and b into the index register.
func (p *parser) bothLoaded(a, b value) []instruction {
	slot := uint32(a.depth)
	if max(a.depth+1, b.depth) > scratchSlots {
		p.fail("the arithmetic before it is nested too deeply")
	}
	return slices.Concat(b.load(), []instruction{ins(storeA, slot)},
		a.load(), []instruction{ins(loadXScratch, slot)})
}

// arith parses values with operators that bind at least as strongly as level. Operators of one
// level are applied from left to right.
func (p *parser) arith(level, depth int) value {
	if level == len(precedence) {
		return p.unary(depth)
	}
	a := p.arith(level+1, depth)
	for p.is(precedence[level]...) {
		sign := p.peek().text
		at := p.at
		p.at++
		a = p.operate(at, sign, a, p.arith(level+1, depth))
	}
	return a
}

// operate applies an operator to two values.
func (p *parser) operate(at int, sign string, a, b value) value {
	code := operatorCode[sign]
	if b.known && b.n == 0 && (sign == "/" || sign == "%") {
		p.failAt(at, "divides by zero")
	}
	switch {
	case a.known && b.known:
		n, _ := alu(code, a.n, b.n)
		return value{known: true, n: n}
	case b.known:
		a.steps = append(a.steps[:len(a.steps):len(a.steps)], ins(code&^operandX, b.n))
		return a
	}
	return value{steps: append(p.bothLoaded(a, b), ins(code, 0)),
		guard: and(a.guard, b.guard), depth: max(a.depth+1, b.depth)}
}

// unary parses a number, len, bytes of a frame, or arithmetic in parentheses.
func (p *parser) unary(depth int) value {
	if depth > depthLimit {
		p.fail("the expression is nested too deeply")
	}
	t := p.peek()
	switch {
	case p.take("-"):
		v := p.unary(depth + 1)
		if v.known {
			return value{known: true, n: -v.n}
		}
		v.steps = append(v.steps[:len(v.steps):len(v.steps)], ins(negate, 0))
		return v
	case p.take("("):
		v := p.arith(0, depth+1)
		p.want(")")
		return v
	case p.take("len"):
		return value{steps: []instruction{ins(loadLen, 0)}}
	case protocols[t.text].load != noLoad && !t.plain && p.ahead(1).text == "[":
		return p.bytes(depth)
	}
	if n, ok := constants[t.text]; ok && !t.plain {
		p.at++
		return value{known: true, n: n}
	}
	n, err := strconv.ParseUint(t.text, 0, 32)
	if err != nil {
		p.fail("want a number, len, or bytes such as tcp[13]")
	}
	p.at++
	return value{known: true, n: uint32(n)}
}

// bytes parses bytes of a header: proto[offset] or proto[offset:size].
func (p *parser) bytes(depth int) value {
	name := p.peek().text
	p.at += 2
	index := p.arith(0, depth+1)
	size := uint32(1)
	if p.take(":") {
		size = p.number("a size")
	}
	codes, ok := loads[size]
	if !ok {
		p.failAt(p.at-1, "want a size of 1, 2 or 4")
	}
	p.want("]")
	v := value{guard: and(index.guard, p.byteGuard(name)), depth: index.depth}
	base, behindIP := p.base(protocols[name].load)
	switch {
	case index.known && behindIP:
		v.steps = []instruction{ins(loadHeaderLen, p.payload), ins(codes.indexed, base+index.n)}
	case index.known:
		v.steps = []instruction{ins(codes.absolute, base+index.n)}
	case behindIP:
		v.steps = append(slices.Clone(index.steps), ins(loadHeaderLen, p.payload), ins(addX, 0),
			ins(moveAtoX, 0), ins(codes.indexed, base))
	default:
		v.steps = append(slices.Clone(index.steps), ins(moveAtoX, 0), ins(codes.indexed, base))
	}
	return v
}

// base returns where the bytes start. behindIP means that the length of the IPv4 header must be
// added.
func (l *layers) base(from load) (at uint32, behindIP bool) {
	switch from {
	case netLoad:
		return l.payload, false
	case ipLoad:
		return l.payload, true
	case icmp6Load:
		return l.payload + 40, false
	}
	return 0, false
}

// byteGuard is the condition under which a frame has bytes of the protocol. Those of TCP and other
// protocols over IP are found in IPv4 only.
func (l *layers) byteGuard(name string) *cond {
	proto := protocols[name]
	switch proto.load {
	case linkLoad:
		return nil
	case ipLoad:
		return and(l.carried("ip", proto.ip), l.firstFragment())
	case icmp6Load:
		return and(l.etherType(etherIP6), test(jumpEqual, proto.ip, ins(loadByte, l.payload+6)))
	}
	return proto.test(l)
}
