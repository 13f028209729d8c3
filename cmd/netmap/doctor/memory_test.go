package doctor

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// The documentation's table of memory is right.
func TestMemoryTable(t *testing.T) {
	text, err := os.ReadFile("../../../doc/service.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\d+)(, the default)? \| (\d+) (M|G)iB` +
		` \| (\d+) MiB \| (\d+) \| (\d+) \|$`)
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 4 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		n := func(i int) uint64 {
			v, _ := strconv.ParseUint(r[i], 10, 64)
			return v
		}
		pinned := n(3) << 20
		if r[4] == "G" {
			pinned <<= 10
		}
		m := xsk.Memory{Stride: 2048}
		if all := n(1) * 2048; all != pinned || m.KernelBytes(all)>>20 != n(5) {
			t.Errorf("%s: %d MiB, and %d of the kernel's a queue", r[0], all>>20, m.KernelBytes(all)>>20)
		}
		if rings := uint64(mem.RingsIn(uint32(n(1)))); rings/2 != n(6) || rings != n(7) {
			t.Errorf("%s: %d rings", r[0], rings)
		}
		if n(1) != 278528 && r[2] != "" {
			t.Errorf("%s is not the default", r[1])
		}
	}
	large := nicInfo{RxQueue: 64, TxQueue: 64}
	if n := mem.RingsIn(278528-uint32(large.need().buffers)) / 2; n < 100 {
		t.Errorf("%d VALE ports beside 64 queues, want 100", n)
	}
}

func TestNeed(t *testing.T) {
	for _, c := range []struct {
		n       nicInfo
		buffers int
	}{
		{nicInfo{RxQueue: 1, TxQueue: 1}, 2048},
		{nicInfo{RxQueue: 64, TxQueue: 64, Channel: &channels{Combined: 2, MaxCombined: 64}}, 4096},
		{nicInfo{RxQueue: 32, TxQueue: 32}, 65536},
		{nicInfo{RxQueue: 64, TxQueue: 64}, 65536},
		{nicInfo{RxQueue: 200, TxQueue: 1}, 201 * 256},
	} {
		need := c.n.need()
		queues := uint64(c.n.RxQueue)
		if c.n.Channel != nil {
			queues = 2
		}
		m := xsk.Memory{Stride: 2048}
		if need.buffers != c.buffers || need.kernel != queues*m.KernelBytes(need.pinned) {
			t.Errorf("%d and %d queues: %+v", c.n.RxQueue, c.n.TxQueue, need)
		}
	}
	n := nicInfo{RxQueue: 1024, TxQueue: 1024}
	if list := n.checkMemory(); list[0].Level == fine || list[0].Command == "" {
		t.Errorf("more queues than there are buffers for: %+v", list)
	}
}
