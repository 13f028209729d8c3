package shm

import (
	"os"
	"strconv"
	"strings"
	"sync"
)

// KernelHugePage is the size of the kernel's huge pages in bytes: 2 MiB if its pages have 4 KiB, 32
// or 512 MiB on arm64 with larger pages, and 0 if it has no huge pages.
var KernelHugePage = sync.OnceValue(func() uint64 {
	text, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
	return parseSize(text)
})

func parseSize(text []byte) uint64 {
	size, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return size
}

// mayBeHuge reports whether a block can be a huge page.
func mayBeHuge(kernel uint64) bool { return kernel == HugePage }
