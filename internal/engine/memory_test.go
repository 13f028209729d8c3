package engine

import (
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
)

// A program that uses the indexes of free buffers does not make the framework take memory for them.
func TestHostileSlotsTakeNoMemory(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var ports []*Binding
	for _, name := range []string{"vale0:a", "vale0:b", "x{1", "x}1"} {
		b, err := e.Register(name, abi.Register{Mode: abi.RegAllNIC})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ports = append(ports, b)
	}
	resident := func() int64 {
		var st syscall.Stat_t
		if err := syscall.Fstat(e.Region().FD(), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	before, total := resident(), e.Region().Bufs.Total()
	for lap := range uint32(20) {
		for _, b := range ports {
			for _, r := range b.entry.Port.Rings(abi.DirRx) {
				for i := range r.N {
					r.Slot(i).SetWord(abi.MakeSlotWord(total-1-(lap*1000+i)*7%(total/2), 60, 0))
				}
			}
			for _, r := range b.entry.Port.Rings(abi.DirTx) {
				for i := range r.N {
					r.Slot(i).SetWord(abi.MakeSlotWord(total-1-(lap*999+i)*11%(total/2), 1500, 0))
				}
				head := r.HwTail.Load()
				r.Advance(head)
			}
			b.TxSync()
			b.RxSync()
		}
	}
	for _, b := range ports {
		if b.entry.Port.Rings(abi.DirTx)[0].Traffic.Frames.Load() == 0 {
			t.Errorf("%v sent nothing", b)
		}
	}
	if after := resident(); after != before {
		t.Errorf("%d KiB more than before", (after-before)>>10)
	}
}
