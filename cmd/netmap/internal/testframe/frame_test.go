package testframe

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

// checksum is RFC 1071 in the simplest form.
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

// wantGood checks the headers of a frame by the RFCs, without code of the package.
func wantGood(t *testing.T, f []byte) {
	t.Helper()
	if binary.BigEndian.Uint16(f[12:]) == 0x86dd {
		wantGood6(t, f)
		return
	}
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

func wantGood6(t *testing.T, f []byte) {
	t.Helper()
	udp := f[54:]
	pseudo := binary.BigEndian.AppendUint32(bytes.Clone(f[22:54]), uint32(len(udp)))
	if got := checksum(pseudo, []byte{0, 17}, udp); got != 0xffff ||
		binary.BigEndian.Uint16(udp[6:]) == 0 {
		t.Fatalf("UDP checksum %x: sum is %#x, want 0xffff", udp[6:8], got)
	}
	if n := len(udp); f[14]>>4 != 6 || f[20] != 17 || int(binary.BigEndian.Uint16(f[18:])) != n ||
		int(binary.BigEndian.Uint16(udp[4:])) != n {
		t.Fatalf("the headers are %x", f[14:62])
	}
}

// Routers change the traffic class and the hop limit, so no checksum covers them.
func TestEveryChangedBitIsFoundInIPv6(t *testing.T) {
	const n = 100
	b, buf := NewBuilder(flows(t, "2001:db8::1", "2001:db8::2"), 7, n), make([]byte, n)
	b.Put(buf, 0x0102030405060708)
	for i := 12; i < n; i++ {
		for bit := range 8 {
			if i == 14 && bit < 4 || i == 15 && bit >= 4 || i == 21 {
				continue
			}
			buf[i] ^= 1 << bit
			if _, v := new(Checker).Check(buf); v == Good {
				t.Errorf("byte %d, bit %d was changed, and the frame is good", i, bit)
			}
			buf[i] ^= 1 << bit
		}
	}
}

func TestRandomAddresses(t *testing.T) {
	for _, tt := range []struct {
		src, dst       string
		srcAt, dstAt   int
		headers, least int
	}{{"10.0.0.1", "10.1.0.1", 26, 30, 42, 60}, {"2001:db8::1", "2001:db8::2", 36, 52, 62, 80}} {
		f := flows(t, tt.src, tt.dst)
		f.RandomSrc = true
		b, buf := NewBuilder(f, 1, tt.least), make([]byte, 128)
		src, dst, ports := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for seq := range uint64(1000) {
			b.Put(buf, seq)
			wantGood(t, buf[:tt.least])
			src[string(buf[tt.srcAt:tt.srcAt+2])] = true
			dst[string(buf[tt.dstAt:tt.dstAt+2])] = true
			ports[string(buf[tt.headers-8:tt.headers-6])] = true
		}
		if len(src) < 900 || len(ports) < 900 || len(dst) != 1 {
			t.Errorf("%s: %d sources, %d ports, %d destinations", tt.src, len(src), len(ports), len(dst))
		}
	}
}

func TestTemplate(t *testing.T) {
	buf := make([]byte, 2048)
	for _, f := range []Flows{flows(t, "10.0.0.1:1-10.0.0.3:2", "10.1.0.1"),
		flows(t, "2001:db8::1-2001:db8::3", "2001:db8::9")} {
		for _, n := range []int{f.headers() + 4, f.headers() + 5, 100, 1514} {
			b := NewTemplate(f, n, true)
			for seq := range uint64(20) {
				b.Put(buf, seq<<20)
				wantGood(t, buf[:n])
				if got := binary.BigEndian.Uint32(buf[f.headers():]); got != uint32(seq<<20) {
					t.Errorf("length %d: number %d, want %d", n, got, seq<<20)
				}
			}
		}
		for n := 16; n < f.headers(); n++ {
			clear(buf)
			NewTemplate(f, n, false).Put(buf, 0)
			if !bytes.Equal(buf[n:n+100], make([]byte, 100)) || binary.BigEndian.Uint16(buf[12:]) == 0 {
				t.Fatalf("a frame of %d bytes: %x", n, buf[:n+4])
			}
		}
	}
	text := []byte("as it is")
	if Verbatim(text).Put(buf, 1); !bytes.Equal(buf[:8], text) {
		t.Errorf("%q, want %q", buf[:8], text)
	}
}

func TestBuildAndCheck(t *testing.T) {
	for _, tt := range []struct {
		flows   Flows
		lengths []int
	}{
		{flows(t, "10.0.0.1", "10.1.0.1:53"), []int{60, 61, 62, 63, 64, 65, 100, 1499, 1514, MaxLen}},
		{flows(t, "2001:db8::1-2001:db8::ffff", "[2001:db8:1::1]:53"),
			[]int{80, 81, 84, 100, 1499, 1514, MaxLen}},
	} {
		for _, n := range tt.lengths {
			buildAndCheck(t, tt.flows, n)
		}
	}
}

func buildAndCheck(t *testing.T, f Flows, n int) {
	t.Helper()
	buf, b := make([]byte, MaxLen), NewBuilder(f, 7, MinLen6)
	b.SetLen(n)
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

func TestChecksumIsNeverZero(t *testing.T) {
	b := NewBuilder(flows(t, "10.0.0.1", "10.1.0.1"), 0, 60)
	buf := make([]byte, 64)
	for seq := range uint64(1 << 17) { // each value of the checksum occurs
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
		if _, v := c.Check(buf[:n]); v != Good { // now c remembers the header
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
	for _, f := range [][]byte{nil, make([]byte, 59), make([]byte, 60),
		bytes.Repeat([]byte{0xff}, 2000)} {
		if _, v := new(Checker).Check(f); v != Foreign {
			t.Errorf("a frame of %d bytes is %d, want foreign", len(f), v)
		}
	}
}

func TestFramesGoThroughRanges(t *testing.T) {
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
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(buf[ip:])),
				binary.BigEndian.Uint16(buf[port:]))
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

func TestReverse(t *testing.T) {
	f := flows(t, "10.0.0.1:10", "10.1.0.1:20")
	ping, pong, want := make([]byte, 64), make([]byte, 64), make([]byte, 64)
	b := NewBuilder(f, 3, 60)
	b.Put(ping, 5)
	f.Src, f.Dst, f.SrcMAC, f.DstMAC = f.Dst, f.Src, f.DstMAC, f.SrcMAC
	NewBuilder(f, 3, 60).Put(want, 5)
	if n := Reverse(pong, ping[:60]); n != 60 || !bytes.Equal(pong, want) {
		t.Errorf("reversed frame of %d bytes\n%x, want\n%x", n, pong, want)
	}
	for n := range 60 {
		Reverse(pong, ping[:n]) // must not panic
	}
}

func TestReverseIPv6(t *testing.T) {
	f := flows(t, "[2001:db8::1]:10", "[2001:db8::2]:20")
	ping, pong, want := make([]byte, 100), make([]byte, 100), make([]byte, 100)
	NewBuilder(f, 3, 90).Put(ping, 5)
	f.Src, f.Dst, f.SrcMAC, f.DstMAC = f.Dst, f.Src, f.DstMAC, f.SrcMAC
	NewBuilder(f, 3, 90).Put(want, 5)
	if n := Reverse(pong, ping[:90]); n != 90 || !bytes.Equal(pong, want) {
		t.Errorf("reversed frame of %d bytes\n%x, want\n%x", n, pong, want)
	}
	for n := range 90 {
		Reverse(pong, ping[:n]) // must not panic
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
		{"10.0.0.2-10.0.0.1", "10.0.0.1:1234-10.0.0.2:1234"},
		{"10.0.0.1:0x10-10.0.0.1:1", "10.0.0.1:1-10.0.0.1:16"},
		{"::1", "[::1]:1234"}, {"2001:db8::1-2001:db8::9", "[2001:db8::1]:1234-[2001:db8::9]:1234"},
		{"[2001:db8::1]:5-[2001:db8::9]:6", "[2001:db8::1]:5-[2001:db8::9]:6"}, {"[::1]", "[::1]:1234"},
		{"2001:db8::1-2001:db8:5::1", "[2001:db8::1]:1234-[2001:db8:5::1]:1234"},
		{"2@2001:db8::1-2001:db8:5::1", "[2001:db8::1]:1234-[2001:db8:5::1]:1234"},
		{"3@2001:db8::1-2001:db8:5::1", ""}, {"2001:db8::1-2001:db8:5::2", ""}, {"8@::1", ""},
		{"x@::1", ""}, {"[::1", ""},
		{"[::1]x", ""}, {"[::1]:", ""}, {"::1-10.0.0.1", ""}, {"fe80::1%eth0", ""}, {"10.0.0", ""},
		{"10.0.0.1:", ""},
		{"10.0.0.1:65536", ""}, {"", ""}, {"10.0.0.1-", ""},
	} {
		got, err := ParseHosts(tt.in)
		if (err != nil) != (tt.want == "") || err == nil && got.String() != tt.want {
			t.Errorf("ParseHosts(%q) = %v, %v; want %q", tt.in, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ in, want string }{
		{"02:00:00:00:00:01", "02:00:00:00:00:01"}, {"0:7:43:29:2a:e0", "00:07:43:29:2a:e0"},
		{"02:00:00:00:00:100", ""},
		{"02:00:00:00:00:01-02:00:00:00:01:00", "02:00:00:00:00:01-02:00:00:00:01:00"},
		{"02:00:00:00:00:02-02:00:00:00:00:01", ""}, {"02:00:00:00:00", ""}, {"", ""},
		{"02:00:5e:10:00:00:00:01", ""},
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
					build.Put4(buf, i)
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
