package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// instruction is an instruction of classic BPF.
type instruction = bpf.RawInstruction

func ins(op uint16, k uint32) instruction { return instruction{Op: op, K: k} }

// The instructions in use. With operandX, a jump or an operation takes the index register instead
// of a constant.
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
	scratchSlots    = 16     // words of memory of a program
	maxInstructions = 4096   // limit of kernels
	wholeFrame      = 262144 // result of a program for a match
)

// loads are the instructions that load 1, 2 or 4 bytes.
var loads = map[uint32]struct{ absolute, indexed uint16 }{
	1: {loadByte, loadByteX},
	2: {loadHalf, loadHalfX},
	4: {loadWord, loadWordX},
}

// cond is a condition: a test, a combination of two conditions, or the negation of one.
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

// always matches every frame.
var always = &cond{kind: isTrue}

// test is true if the jump is taken after the steps.
func test(op uint16, k uint32, steps ...instruction) *cond {
	return &cond{steps: steps, jump: ins(op, k)}
}

func and(list ...*cond) *cond { return joined(isAnd, list) }
func or(list ...*cond) *cond  { return joined(isOr, list) }
func not(c *cond) *cond       { return &cond{kind: isNot, a: c} }

// joined combines conditions, and ignores those that are nil.
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

// block is a test in a program.
type block struct {
	*cond
	yes, no int // indexes of the next blocks
	end     int // number of instructions from the block's start to the program's end
}

// The first two blocks are the ends of the program.
const (
	accept = iota
	reject
)

// assembler makes a program from its end to its start. All jumps go forward, so the distances to
// their targets are known.
type assembler struct {
	blocks []block
	code   []instruction // in reverse order
}

// assemble returns the program for a condition. nil matches every frame.
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
	if start <= reject { // there is no test
		return []instruction{s.code[start]}
	}
	for i := reject + 1; i < len(s.blocks); i++ {
		s.emit(&s.blocks[i])
	}
	slices.Reverse(s.code)
	return s.code
}

// flatten makes blocks of a condition, its last test first. It returns the index of the first block
// to run.
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

// emit writes a block: its steps and its jump. If a target is too far for a conditional jump, an
// unconditional jump follows.
func (s *assembler) emit(b *block) {
	const farthest = 255
	no, yes := len(s.code)-s.blocks[b.no].end, len(s.code)-s.blocks[b.yes].end
	if yes > farthest-1 { // an unconditional jump may come between
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

// elide removes loads whose result is already in the accumulator, on all ways to the block.
func (s *assembler) elide() {
	const unseen, nothing = 0, 1
	before := make([]uint64, len(s.blocks)) // content of the accumulator at the start of the block
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

// isAbsolute reports whether an instruction loads bytes at a fixed position.
func isAbsolute(op uint16) bool { return op == loadWord || op == loadHalf || op == loadByte }
