package bridge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
)

// BenchmarkMove measures bridging alone, with frames of one slot and of three: sender, bridge and
// receiver are on one goroutine.
func BenchmarkMove(b *testing.B) {
	for _, args := range []string{"", "-c"} {
		for _, slots := range []int{1, 3} {
			b.Run(fmt.Sprintf("%s/slots=%d", args, slots), func(b *testing.B) { benchMove(b, args, slots) })
		}
	}
}

func benchMove(b *testing.B, args string, slots int) {
	f, err := embed.New(embed.Config{Buffers: 16384})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	o, err := parse(append(strings.Fields(args), "-i", "a}1/R", "-i", "b}1/T")...)
	if err != nil {
		b.Fatal(err)
	}
	directions, err := o.open(f.Open)
	if err != nil {
		b.Fatal(err)
	}
	var ports []*netmap.Port
	for _, name := range []string{"a{1", "b{1"} {
		p, err := f.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		ports = append(ports, p)
	}
	d, in, out := directions[0], ports[0], ports[1]
	const batch = 510
	b.ReportAllocs()
	for n := 0; n < b.N; n += batch / slots {
		one, two := in.Tx()[0].Batch(batch)
		k := 0
		for _, list := range [][]abi.Slot{one, two} {
			for i := range list {
				list[i].Len, list[i].Flags = 60, 0
				if k++; k%slots != 0 {
					list[i].Flags = abi.NSMoreFrag
				}
			}
		}
		in.Tx()[0].Advance(k)
		in.TxSync()
		d.from.RxSync()
		d.move()
		d.to.TxSync()
		d.from.RxSync()
		out.RxSync()
		out.Rx()[0].Advance(out.Rx()[0].Len())
		out.RxSync()
	}
	if got := d.n.frames.Load(); got < uint64(b.N) {
		b.Errorf("%d frames of %d", got, b.N)
	}
}
