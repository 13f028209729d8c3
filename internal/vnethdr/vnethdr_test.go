package vnethdr

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// Seeds: Ethernet, IPv4 or IPv6, and TCP or UDP with some payload.
var seeds = []struct{ header, packet string }{
	{
		"01010000640022001000", "020000000002020000000001" + "0800" +
			"4500003200010000400600000a0000010a000002" +
			"0001000200000001000000005018ffff00000000" + "6162636465666768696a",
	},
	{
		"01050000040022000600", "020000000002020000000001" + "86dd" +
			"6000000000121140" + "20010db800000000000000000000000120010db8000000000000000000000002" +
			"0001000200120000" + "6162636465666768696a",
	},
	{"01000000000022001000", "020000000002020000000001" + "8100000708004500"},
}

// Random headers and packets: nothing panics, and frames have as much payload as the packet.
func FuzzOffload(f *testing.F) {
	for _, s := range seeds {
		header, err := hex.DecodeString(s.header)
		if err != nil {
			f.Fatal(err)
		}
		packet, err := hex.DecodeString(s.packet)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(header, packet)
	}
	f.Fuzz(func(t *testing.T, header, data []byte) {
		if len(header) < MinLength || len(data) > 1<<16+64 {
			return
		}
		o := Parse(header)
		packet := bytes.Clone(data)
		if !o.Splits() {
			o.Complete(packet)
			return
		}
		var s Segments
		if !o.Valid() || !s.Init(packet, o, 1514) {
			return
		}
		buf, total := make([]byte, 1514), 0
		for n := s.Count(); s.More(); n-- {
			if n == 0 {
				t.Fatal("more frames than counted")
			}
			length := s.Write(buf)
			if length < s.payload || length > len(buf) {
				t.Fatalf("a frame of %d bytes", length)
			}
			total += length - s.payload
		}
		if total != len(data)-s.payload {
			t.Fatalf("%d bytes of payload, want %d", total, len(data)-s.payload)
		}
	})
}

func TestSeedsAreSplit(t *testing.T) {
	for i, want := range []int{1, 3} {
		header, _ := hex.DecodeString(seeds[i].header)
		packet, _ := hex.DecodeString(seeds[i].packet)
		var s Segments
		if o := Parse(header); !o.Valid() || !s.Init(packet, o, 1514) || s.Count() != want {
			t.Errorf("seed %d: %d frames, want %d", i, s.Count(), want)
		}
	}
}

func TestValidLength(t *testing.T) {
	for n := range uint32(20) {
		if want := n == 0 || n == 10 || n == 12; ValidLength(n) != want {
			t.Errorf("length %d: valid %v, want %v", n, !want, want)
		}
	}
}
