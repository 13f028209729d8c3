package frame

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func mustHosts(t testing.TB, s string) Hosts {
	t.Helper()
	h, err := ParseHosts(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func mustMACs(t testing.TB, s string) MACs {
	t.Helper()
	m, err := ParseMACs(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func flows(t testing.TB, src, dst string) Flows {
	return Flows{
		SrcMAC: mustMACs(t, "02:00:00:00:00:01"), DstMAC: mustMACs(t, "02:00:00:00:00:02"),
		Src: mustHosts(t, src), Dst: mustHosts(t, dst),
	}
}

// checksum is RFC 1071 in the plainest form.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, p := range parts {
		for i := 0; i < len(p); i += 2 {
			v := uint32(p[i]) << 8
			if i+1 < len(p) {
				v |= uint32(p[i+1])
			}
			if sum += v; sum > 0xffff {
				sum -= 0xffff
			}
		}
	}
	return uint16(sum)
}

// wantGood looks at a frame with nothing but the RFCs in mind.
func wantGood(t *testing.T, f []byte) {
	t.Helper()
	if got := checksum(f[14:34]); got != 0xffff {
		t.Fatalf("IP checksum: sum is %#x, want 0xffff\n%x", got, f[14:34])
	}
	udp := f[34:]
	pseudo := append(bytes.Clone(f[26:34]), 0, 17)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(udp)))
	if got := checksum(pseudo, udp); got != 0xffff || binary.BigEndian.Uint16(udp[6:]) == 0 {
		t.Fatalf("UDP checksum %x: sum is %#x, want 0xffff", udp[6:8], got)
	}
	if got := int(binary.BigEndian.Uint16(f[16:])); got != len(f)-14 {
		t.Fatalf("IP length %d in a frame of %d", got, len(f))
	}
	if got := int(binary.BigEndian.Uint16(udp[4:])); got != len(udp) {
		t.Fatalf("UDP length %d, want %d", got, len(udp))
	}
}

func TestBuildAndCheck(t *testing.T) {
	buf := make([]byte, MaxLen)
	for _, n := range []int{60, 61, 62, 63, 64, 65, 100, 1499, 1514, MaxLen} {
		b := NewBuilder(flows(t, "10.0.0.1", "10.1.0.1:53"), 7, n)
		for range 200 {
			want := Mark{7, rand.Uint64() & timeMask, rand.Uint64()}
			b.SetTime(want.Time)
			b.Put(buf, want.Seq)
			wantGood(t, buf[:n])
			if got, v := new(Checker).Check(buf[:n]); v != Good || got != want {
				t.Fatalf("length %d: Check is %+v, %d; want %+v, good", n, got, v, want)
			}
		}
	}
}

func TestChecksumIsNeverZero(t *testing.T) {
	b := NewBuilder(flows(t, "10.0.0.1", "10.1.0.1"), 0, 60)
	buf := make([]byte, 64)
	for seq := range uint64(1 << 17) { // each value of the checksum comes up
		b.Put(buf, seq)
		if binary.BigEndian.Uint16(buf[udpSumAt:]) == 0 {
			t.Fatalf("frame %d says that it has no checksum", seq)
		}
		if _, v := new(Checker).Check(buf[:60]); v != Good {
			t.Fatalf("frame %d is not good", seq)
		}
	}
}

func TestEveryChangedBitIsFound(t *testing.T) {
	for _, n := range []int{60, 61, 200} {
		b := NewBuilder(flows(t, "10.0.0.1", "10.1.0.1"), 7, n)
		buf := make([]byte, 256)
		b.Put(buf, 0x0102030405060708)
		var c Checker
		if _, v := c.Check(buf[:n]); v != Good { // from here on c knows the header
			t.Fatalf("length %d: not good", n)
		}
		for i := 12; i < n; i++ {
			for bit := range 8 {
				buf[i] ^= 1 << bit
				_, v := c.Check(buf[:n])
				if _, w := new(Checker).Check(buf[:n]); v == Good || w == Good {
					t.Errorf("length %d: byte %d, bit %d was changed, and the frame is good", n, i, bit)
				}
				buf[i] ^= 1 << bit
			}
		}
		for _, cut := range []int{n - 1, n + 1} {
			if _, v := c.Check(buf[:cut]); v == Good {
				t.Errorf("a frame of %d is good with %d bytes", n, cut)
			}
		}
	}
}

func TestForeign(t *testing.T) {
	for _, f := range [][]byte{nil, make([]byte, 59), make([]byte, 60), bytes.Repeat([]byte{0xff}, 2000)} {
		if _, v := new(Checker).Check(f); v != Foreign {
			t.Errorf("a frame of %d bytes is %d, want foreign", len(f), v)
		}
	}
}

func TestRangesWalk(t *testing.T) {
	f := flows(t, "10.0.0.1:10-10.0.0.2:11", "10.1.0.1:20-10.1.0.1:21")
	f.SrcMAC = mustMACs(t, "02:00:00:00:00:fe-02:00:00:00:01:00")
	b := NewBuilder(f, 1, 60)
	buf := make([]byte, 64)
	type key struct{ src, dst netip.AddrPort }
	seen := map[key]bool{}
	var macs []byte
	for seq := range uint64(9) {
		b.Put(buf, seq)
		wantGood(t, buf[:60])
		if m, v := new(Checker).Check(buf[:60]); v != Good || m.Seq != seq {
			t.Fatalf("frame %d is not good", seq)
		}
		at := func(ip, port int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(buf[ip:])), binary.BigEndian.Uint16(buf[port:]))
		}
		k := key{at(26, 34), at(30, 36)}
		if again := seen[k]; again != (seq == 8) {
			t.Fatalf("frame %d: %v seen before is %v; want all 8 flows, then the first again", seq, k, again)
		}
		seen[k] = true
		macs = append(macs, buf[11])
	}
	if want := []byte{0xfe, 0xff, 0, 0xfe, 0xff, 0, 0xfe, 0xff, 0}; !bytes.Equal(macs, want) {
		t.Errorf("source MACs end in %x, want %x", macs, want)
	}
}

func TestTurn(t *testing.T) {
	f := flows(t, "10.0.0.1:10", "10.1.0.1:20")
	ping, pong, want := make([]byte, 64), make([]byte, 64), make([]byte, 64)
	b := NewBuilder(f, 3, 60)
	b.Put(ping, 5)
	f.Src, f.Dst, f.SrcMAC, f.DstMAC = f.Dst, f.Src, f.DstMAC, f.SrcMAC
	NewBuilder(f, 3, 60).Put(want, 5)
	if n := Turn(pong, ping[:60]); n != 60 || !bytes.Equal(pong, want) {
		t.Errorf("turned frame of %d bytes\n%x, want\n%x", n, pong, want)
	}
	for n := range 60 {
		Turn(pong, ping[:n]) // must not panic
	}
}

func TestSince(t *testing.T) {
	for _, tt := range []struct {
		now, then uint64
		want      int64
	}{{10, 4, 6}, {4, 10, -6}, {3, timeMask, 4}, {timeMask, 3, -4}} {
		if got := Since(tt.now, tt.then); got != tt.want {
			t.Errorf("Since(%d, %d) = %d, want %d", tt.now, tt.then, got, tt.want)
		}
	}
}

func TestParseRanges(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"10.0.0.1", "10.0.0.1:1234"},
		{"10.0.0.1:53", "10.0.0.1:53"},
		{"10.0.0.1:53-10.0.0.9", "10.0.0.1:53-10.0.0.9:53"},
		{"10.0.0.1:1-10.0.0.1:9", "10.0.0.1:1-10.0.0.1:9"},
		{"10.0.0.2-10.0.0.1", ""}, {"10.0.0.1:2-10.0.0.1:1", ""}, {"::1", ""}, {"10.0.0", ""}, {"10.0.0.1:", ""},
		{"10.0.0.1:65536", ""}, {"", ""}, {"10.0.0.1-", ""},
	} {
		got, err := ParseHosts(tt.in)
		if (err != nil) != (tt.want == "") || err == nil && got.String() != tt.want {
			t.Errorf("ParseHosts(%q) = %v, %v; want %q", tt.in, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ in, want string }{
		{"02:00:00:00:00:01", "02:00:00:00:00:01"},
		{"02:00:00:00:00:01-02:00:00:00:01:00", "02:00:00:00:00:01-02:00:00:00:01:00"},
		{"02:00:00:00:00:02-02:00:00:00:00:01", ""}, {"02:00:00:00:00", ""}, {"", ""}, {"02:00:5e:10:00:00:00:01", ""},
	} {
		got, err := ParseMACs(tt.in)
		if (err != nil) != (tt.want == "") || err == nil && got.String() != tt.want {
			t.Errorf("ParseMACs(%q) = %v, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func BenchmarkPut(b *testing.B)   { benchmark(b, true, false) }
func BenchmarkCheck(b *testing.B) { benchmark(b, false, true) }

func benchmark(b *testing.B, put, check bool) {
	for _, n := range []int{60, 1514} {
		b.Run(map[int]string{60: "60", 1514: "1514"}[n], func(b *testing.B) {
			build := NewBuilder(flows(b, "10.0.0.1", "10.1.0.1"), 1, n)
			buf := make([]byte, 2048)
			build.Put(buf, 1)
			var c Checker
			b.ReportAllocs()
			for i := range uint64(b.N) {
				if put {
					build.Put(buf, i)
				}
				if check {
					if _, v := c.Check(buf[:n]); v != Good {
						b.Fatal("not good")
					}
				}
			}
		})
	}
}
