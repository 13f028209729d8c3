//go:build linux

package shm

import "testing"

// Blocks are huge pages only if the kernel's huge pages have the size of a block.
func TestHugePageSize(t *testing.T) {
	for text, want := range map[string]struct {
		size uint64
		huge bool
	}{
		"2097152\n": {2 << 20, true}, "33554432\n": {32 << 20, false}, "536870912": {512 << 20, false},
		"1048576\n": {1 << 20, false}, "": {}, "never\n": {},
	} {
		size := parseSize([]byte(text))
		if size != want.size || mayBeHuge(size) != want.huge {
			t.Errorf("%q: %d bytes, huge %v, want %v", text, size, mayBeHuge(size), want)
		}
	}
}
