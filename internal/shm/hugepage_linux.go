package shm

import (
	"os"
	"strconv"
	"strings"
	"sync"
)

// KernelHugePage is how large the kernel's huge pages are, in bytes: 2 MiB where its pages have 4 KiB,
// 32 or 512 MiB on arm64 with larger ones, and 0 where it has none.
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

// mayBeHuge says whether blocks can be huge pages.
func mayBeHuge(kernel uint64) bool { return kernel == HugePage }
