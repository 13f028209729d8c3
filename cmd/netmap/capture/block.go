package capture

import "time"

// blockSize is the number of bytes written at a time. A block holds several of the longest records.
const blockSize = 1 << 20

// mostCuts bounds the number of files that begin in a block.
const mostCuts = 128

// block holds whole records, as they stand in files.
type block struct {
	data []byte
	cuts []cut
}

// cut marks where a file begins.
type cut struct {
	at    int // offset in the block
	start time.Time
	then  totals // at the end of the previous file
}

// blocks circulate between the receiver, which fills them, and the writer. All are made at the
// start, and both channels have room for all of them: neither side waits to hand one over.
type blocks struct{ free, full chan *block }

// newBlocks makes blocks with the given total of bytes, but at least four blocks.
func newBlocks(bytes uint64) blocks {
	n := int(max(4, bytes/blockSize))
	b := blocks{make(chan *block, n), make(chan *block, n)}
	memory := make([]byte, n*blockSize)
	for i := 0; i < len(memory); i += 4096 {
		// make the kernel allocate the page now, and not while frames arrive
		memory[i] = 1
	}
	for ; len(memory) > 0; memory = memory[blockSize:] {
		b.free <- &block{memory[:0:blockSize], make([]cut, 0, mostCuts)}
	}
	return b
}

// take returns a free block, or nil if there is none.
func (b blocks) take() *block {
	select {
	case f := <-b.free:
		f.data, f.cuts = f.data[:0], f.cuts[:0]
		return f
	default:
		return nil
	}
}
