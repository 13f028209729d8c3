package capture

import "time"

// blockSize is how much is written at a time. The longest record fits several times.
const blockSize = 1 << 20

// mostCuts bounds how many files may begin in a block.
const mostCuts = 128

// block is a piece of what is written: records, whole ones, as they stand in files.
type block struct {
	data []byte
	cuts []cut
}

// cut is where a file begins.
type cut struct {
	at    int // in the block
	start time.Time
	then  totals // at the end of the file before
}

// blocks go around between the receiver, which fills them, and the writer. None is made on the way,
// and neither side waits for the other: both channels hold all blocks.
type blocks struct{ free, full chan *block }

// newBlocks makes blocks of that many bytes in all, at least some.
func newBlocks(bytes uint64) blocks {
	n := int(max(4, bytes/blockSize))
	b := blocks{make(chan *block, n), make(chan *block, n)}
	memory := make([]byte, n*blockSize)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1 // have it before there is no time for it
	}
	for ; len(memory) > 0; memory = memory[blockSize:] {
		b.free <- &block{memory[:0:blockSize], make([]cut, 0, mostCuts)}
	}
	return b
}

// take is a free block, nil if there is none.
func (b blocks) take() *block {
	select {
	case f := <-b.free:
		f.data, f.cuts = f.data[:0], f.cuts[:0]
		return f
	default:
		return nil
	}
}
