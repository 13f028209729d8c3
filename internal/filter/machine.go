package filter

import "encoding/binary"

// step is an instruction as the machine runs it.
type step struct {
	op     opcode
	jt, jf uint8
	k      uint32
}

// opcode numbers the instructions densely, so that the machine's switch becomes a jump table.
type opcode uint8

const (
	opRet opcode = iota
	opLoadWord
	opLoadHalf
	opLoadByte
	opLoadWordX
	opLoadHalfX
	opLoadByteX
	opLoadLen
	opLoadK
	opLoadXScratch
	opLoadHeaderLen
	opStoreA
	opMoveAtoX
	opNegate
	opJump
	opEqual
	opGreater
	opGreaterEqual
	opAnySet
	opEqualX
	opGreaterX
	opGreaterEqualX
	opAnySetX
	opAnd
	opALU  // with a constant; jt holds the operation
	opALUX // with the index register
)

var opcodes = map[uint16]opcode{
	ret: opRet, loadWord: opLoadWord, loadHalf: opLoadHalf, loadByte: opLoadByte,
	loadWordX: opLoadWordX, loadHalfX: opLoadHalfX, loadByteX: opLoadByteX, loadLen: opLoadLen,
	loadK: opLoadK, loadXScratch: opLoadXScratch, loadHeaderLen: opLoadHeaderLen,
	storeA: opStoreA, moveAtoX: opMoveAtoX, negate: opNegate, jump: opJump, andK: opAnd,
	jumpEqual: opEqual, jumpGreater: opGreater, jumpGreaterEqual: opGreaterEqual,
	jumpAnySet: opAnySet, jumpEqual | operandX: opEqualX, jumpGreater | operandX: opGreaterX,
	jumpGreaterEqual | operandX: opGreaterEqualX, jumpAnySet | operandX: opAnySetX,
}

// translate converts a program of assemble to steps.
func translate(program []instruction) []step {
	code := make([]step, len(program))
	for i, in := range program {
		op, ok := opcodes[in.Op]
		code[i] = step{op, in.Jt, in.Jf, in.K}
		if !ok {
			code[i] = step{opALU, uint8(in.Op), 0, in.K}
			if in.Op&operandX != 0 {
				code[i].op = opALUX
			}
		}
	}
	return code
}

// run returns the result of a program for a frame of this length. It always ends: all jumps go
// forward, and the last instruction is a return. The function is long because a machine is one
// switch.
func run(code []step, frame []byte, length uint32) bool {
	var a, x uint32
	var scratch [scratchSlots]uint32
	size := uint64(len(frame))
	for pc := 0; pc < len(code); pc++ {
		in := &code[pc]
		k := in.k
		at := uint64(k)
		var taken bool
		switch in.op {
		case opRet:
			return k != 0
		case opLoadWordX:
			at += uint64(x)
			fallthrough
		case opLoadWord:
			if at+4 > size {
				return false
			}
			a = binary.BigEndian.Uint32(frame[at:])
			continue
		case opLoadHalfX:
			at += uint64(x)
			fallthrough
		case opLoadHalf:
			if at+2 > size {
				return false
			}
			a = uint32(binary.BigEndian.Uint16(frame[at:]))
			continue
		case opLoadByteX:
			at += uint64(x)
			fallthrough
		case opLoadByte:
			if at >= size {
				return false
			}
			a = uint32(frame[at])
			continue
		case opLoadHeaderLen:
			if at >= size {
				return false
			}
			x = 4 * uint32(frame[at]&15)
			continue
		case opLoadLen:
			a = length
			continue
		case opLoadK:
			a = k
			continue
		case opLoadXScratch:
			x = scratch[k%scratchSlots]
			continue
		case opStoreA:
			scratch[k%scratchSlots] = a
			continue
		case opMoveAtoX:
			x = a
			continue
		case opNegate:
			a = -a
			continue
		case opAnd:
			a &= k
			continue
		case opALU:
			a, _ = alu(uint16(in.jt), a, k) // constants are not 0 in divisions
			continue
		case opALUX:
			var ok bool
			if a, ok = alu(uint16(in.jt), a, x); !ok {
				return false
			}
			continue
		case opJump:
			pc += int(k)
			continue
		case opEqual:
			taken = a == k
		case opGreater:
			taken = a > k
		case opGreaterEqual:
			taken = a >= k
		case opAnySet:
			taken = a&k != 0
		case opEqualX:
			taken = a == x
		case opGreaterX:
			taken = a > x
		case opGreaterEqualX:
			taken = a >= x
		case opAnySetX:
			taken = a&x != 0
		}
		if taken {
			pc += int(in.jt)
		} else {
			pc += int(in.jf)
		}
	}
	return false
}

// alu does an operation. ok is false for a division by zero.
func alu(op uint16, a, b uint32) (result uint32, ok bool) {
	switch op | operandX {
	case addX:
		return a + b, true
	case subX:
		return a - b, true
	case mulX:
		return a * b, true
	case orX:
		return a | b, true
	case andX:
		return a & b, true
	case xorX:
		return a ^ b, true
	case shiftLeftX:
		return a << b, true
	case shiftRightX:
		return a >> b, true
	case divX:
		if b != 0 {
			return a / b, true
		}
	case modX:
		if b != 0 {
			return a % b, true
		}
	}
	return 0, false
}
