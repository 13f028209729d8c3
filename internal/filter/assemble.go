package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// instruction is one of classic BPF.
type instruction = bpf.RawInstruction

func ins(op uint16, k uint32) instruction { return instruction{Op: op, K: k} }

// The instructions in use. A jump or an operation on a constant becomes one on the index register with operandX.
const (
	loadWord      = 0x20 // A = 4 bytes at k
	loadHalf      = 0x28
	loadByte      = 0x30
	loadWordX     = 0x40 // A = 4 bytes at X+k
	loadHalfX     = 0x48
	loadByteX     = 0x50
	loadLen       = 0x80 // A = length of the frame
	loadK         = 0x00
	loadXScratch  = 0x61
	loadHeaderLen = 0xb1 // X = 4 * (byte at k & 15)
	storeA        = 0x02
	moveAtoX      = 0x07
	negate        = 0x84
	ret           = 0x06
	jump          = 0x05

	operandX         = 0x08
	jumpEqual        = 0x15
	jumpGreater      = 0x25
	jumpGreaterEqual = 0x35
	jumpAnySet       = 0x45

	addX        = 0x0c
	subX        = 0x1c
	mulX        = 0x2c
	divX        = 0x3c
	orX         = 0x4c
	andX        = 0x5c
	shiftLeftX  = 0x6c
	shiftRightX = 0x7c
	modX        = 0x9c
	xorX        = 0xac
	andK        = andX &^ operandX
)

const (
	scratchSlots    = 16     // words of memory that a program has
	maxInstructions = 4096   // that a kernel takes
	wholeFrame      = 262144 // what a program returns for a match
)

// loads are the instructions that load so many bytes.
var loads = map[uint32]struct{ absolute, indexed uint16 }{1: {loadByte, loadByteX}, 2: {loadHalf, loadHalfX}, 4: {loadWord, loadWordX}}

// cond is a condition: a test, or two conditions joined, or one turned around.
type cond struct {
	kind  condKind
	a, b  *cond
	steps []instruction // of a test, before its jump
	jump  instruction
}

type condKind int

const (
	isTest condKind = iota
	isAnd
	isOr
	isNot
	isTrue
)

// always is true of every frame.
var always = &cond{kind: isTrue}

// test is true when the jump is taken after the steps.
func test(op uint16, k uint32, steps ...instruction) *cond {
	return &cond{steps: steps, jump: ins(op, k)}
}

func and(list ...*cond) *cond { return joined(isAnd, list) }
func or(list ...*cond) *cond  { return joined(isOr, list) }
func not(c *cond) *cond       { return &cond{kind: isNot, a: c} }

// joined leaves out conditions that are nil.
func joined(kind condKind, list []*cond) (c *cond) {
	for _, next := range list {
		switch {
		case c == nil:
			c = next
		case next != nil:
			c = &cond{kind: kind, a: c, b: next}
		}
	}
	return c
}

// block is a test whose jumps have targets.
type block struct {
	*cond
	yes, no int // the blocks to go on with
	end     int // instructions from its start to the end of the program
}

// The first two blocks are the program's ends.
const (
	accept = iota
	reject
)

// assembler makes a program from its end: every jump goes forward, so that the distance to its targets is known.
type assembler struct {
	blocks []block
	code   []instruction // in reverse order
}

// assemble is the program of a condition; nil is always true.
func assemble(c *cond) []instruction {
	s := &assembler{blocks: make([]block, 2)}
	start := accept
	if c != nil {
		start = s.flatten(c, accept, reject)
	}
	s.elide()
	for i, v := range []uint32{accept: wholeFrame, reject: 0} {
		s.code = append(s.code, ins(ret, v))
		s.blocks[i].end = len(s.code)
	}
	if start <= reject { // no test at all
		return []instruction{s.code[start]}
	}
	for i := reject + 1; i < len(s.blocks); i++ {
		s.emit(&s.blocks[i])
	}
	slices.Reverse(s.code)
	return s.code
}

// flatten makes blocks of a condition, the last test first, and returns the one to start with.
func (s *assembler) flatten(c *cond, yes, no int) int {
	switch c.kind {
	case isAnd:
		return s.flatten(c.a, s.flatten(c.b, yes, no), no)
	case isOr:
		return s.flatten(c.a, yes, s.flatten(c.b, yes, no))
	case isNot:
		return s.flatten(c.a, no, yes)
	case isTrue:
		return yes
	}
	s.blocks = append(s.blocks, block{cond: c, yes: yes, no: no})
	return len(s.blocks) - 1
}

// emit writes a block: its steps, its jump, and, where a target is too far for a conditional jump, plain ones behind it.
func (s *assembler) emit(b *block) {
	const farthest = 255
	no, yes := len(s.code)-s.blocks[b.no].end, len(s.code)-s.blocks[b.yes].end
	if yes > farthest-1 { // behind it there may be another one
		s.code = append(s.code, ins(jump, uint32(yes)))
		yes, no = 0, no+1
	}
	if no > farthest {
		s.code = append(s.code, ins(jump, uint32(no)))
		yes, no = yes+1, 0
	}
	j := b.jump
	j.Jt, j.Jf = uint8(yes), uint8(no)
	s.code = append(s.code, j)
	for _, step := range slices.Backward(b.steps) {
		s.code = append(s.code, step)
	}
	b.end = len(s.code)
}

// elide leaves out loads whose result is in the accumulator already, whichever way a frame takes.
func (s *assembler) elide() {
	const unseen, nothing = 0, 1
	before := make([]uint64, len(s.blocks)) // what the accumulator holds on arrival
	for i := len(s.blocks) - 1; i > reject; i-- {
		b := &s.blocks[i]
		holds := uint64(nothing)
		if len(b.steps) == 1 && isAbsolute(b.steps[0].Op) {
			holds = uint64(b.steps[0].Op)<<32 | uint64(b.steps[0].K)
			if before[i] == holds {
				b.cond = &cond{jump: b.jump}
			}
		}
		for _, next := range []int{b.yes, b.no} {
			if before[next] == unseen || before[next] == holds {
				before[next] = holds
			} else {
				before[next] = nothing
			}
		}
	}
}

// isAbsolute says whether an instruction loads bytes that stand at a fixed place.
func isAbsolute(op uint16) bool { return op == loadWord || op == loadHalf || op == loadByte }
