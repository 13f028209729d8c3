package lb

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
)

// ends are the two ends of a conversation, for a packet from a to b.
type ends struct {
	a, b         string // addresses
	aPort, bPort uint16
}

func (e ends) reversed() ends { return ends{e.b, e.a, e.bPort, e.aPort} }

func (e ends) ports() string {
	b := binary.BigEndian.AppendUint16(nil, e.aPort)
	return string(binary.BigEndian.AppendUint16(b, e.bPort)) + strings.Repeat("x", 16)
}

// ipv4 returns a packet; fragment is the field of fragment flags and offset.
func (e ends) ipv4(proto byte, fragment uint16, payload string) string {
	f := binary.BigEndian.AppendUint16([]byte("\x45\x00\x00\x28\x00\x00"), fragment)
	return string(append(f, 64, proto, 0, 0)) + e.a + e.b + payload
}

func (e ends) ipv6(proto byte, payload string) string {
	return "\x60\x00\x00\x00\x00\x00" + string([]byte{proto, 64}) + e.a + e.b + payload
}

func ether(kind, payload string) string {
	return "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01" + kind + payload
}

const (
	kind4, kind6 = "\x08\x00", "\x86\xdd"
	addr6        = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

var (
	four = ends{"\x0a\x00\x00\x01", "\x0a\x00\x00\x02", 1000, 80}
	six  = ends{addr6 + "\x01", addr6 + "\x02", 1000, 80}
)

// Frames of one row have the same hash, frames of different rows have different hashes.
func TestHash(t *testing.T) {
	outer, tcp := ends{"\xc0\xa8\x00\x01", "\xc0\xa8\x00\x02", 0, 0}, four.ipv4(6, 0, four.ports())
	back := four.reversed()
	same := [][]string{
		{ // TCP over IPv4, both directions, in all tunnels
			ether(kind4, tcp), ether(kind4, back.ipv4(6, 0, back.ports())),
			ether("\x81\x00\x00\x05"+kind4, tcp), ether("\x88\xa8\x00\x05\x81\x00\x00\x06"+kind4, tcp),
			ether(kind4, outer.ipv4(4, 0, tcp)),
			ether(kind4, outer.reversed().ipv4(47, 0, "\x00\x00"+kind4+tcp)),
			ether(kind4, outer.ipv4(47, 0, "\xb0\x00"+kind4+"ccccKKKKssss"+tcp)),
			ether(kind4, outer.ipv4(47, 0, "\x20\x00\x65\x58KKKK"+ether(kind4, tcp))),
			ether(kind6, six.ipv6(4, tcp)), ether(kind6, six.ipv6(60, "\x04\x00xxxxxx"+tcp)),
			ether(kind4, four.ipv4(6, 0x4000, four.ports())), // "don't fragment" does not make a fragment
		},
		{ether(kind4, four.ipv4(17, 0, four.ports())), ether(kind4, back.ipv4(17, 0, back.ports()))},
		{ // fragments
			ether(kind4, four.ipv4(6, 0x2000, four.ports())),
			ether(kind4, four.ipv4(6, 100, "whatever it is")),
			ether(kind4, back.ipv4(6, 0x2064, "")),
		},
		{ // IPv6, with and without headers in between
			ether(kind6, six.ipv6(6, six.ports())),
			ether(kind6, six.reversed().ipv6(6, six.reversed().ports())),
			ether(kind6, six.ipv6(0, "\x06\x01"+strings.Repeat("o", 14)+six.ports())),
			ether(kind6, six.ipv6(51, "\x06\x04"+strings.Repeat("a", 22)+six.ports())),
			ether(kind6, six.ipv6(44, "\x06\x00\x00\x00iiii"+six.ports())),
			ether(kind4, outer.ipv4(41, 0, six.ipv6(6, six.ports()))),
		},
		{ // fragments of IPv6
			ether(kind6, six.ipv6(44, "\x06\x00\x00\x01iiii"+six.ports())),
			ether(kind6, six.ipv6(44, "\x06\x00\x01\x00iiii")),
		},
		{ether(kind4, four.ipv4(1, 0, "ping")), ether(kind4, back.ipv4(1, 0, "pong"))},
		{ // GRE of other versions and types
			ether(kind4, outer.ipv4(47, 0, "\x00\x01"+kind4+tcp)),
			ether(kind4, outer.ipv4(47, 0, "\x00\x00\x12\x34other")),
		},
		{ // not IP, or cut off
			ether("\x08\x06", "who has"), ether("\x08\x06", "it is"), ether("\x88\xcc", "lldp"),
			ether(kind4, "short"),
		},
	}
	seen := map[uint64]int{}
	for i, line := range same {
		want, ip := byFlow.hash([]byte(line[0]))
		for j, f := range line {
			if h, isIP := byFlow.hash([]byte(f)); h != want || isIP != ip {
				t.Errorf("frame %d of line %d hashes to %#x, IP %v, want %#x, %v", j, i, h, isIP, want, ip)
			}
		}
		if old, ok := seen[want]; ok {
			t.Errorf("lines %d and %d hash alike", old, i)
		}
		seen[want] = i
	}
	if _, ip := byFlow.hash([]byte(same[len(same)-1][0])); ip {
		t.Error("ARP is IP")
	}
}

// Coarser hashes ignore ports, or IP addresses.
func TestCoarserHash(t *testing.T) {
	other := four
	other.aPort = 7
	tcp, udp := []byte(ether(kind4, four.ipv4(6, 0, four.ports()))),
		[]byte(ether(kind4, other.reversed().ipv4(17, 0, "")))
	elsewhere := []byte(ether(kind4, ends{four.a, "\x0a\x00\x00\x09", 1, 2}.ipv4(6, 0, "")))
	hash := func(by hashing, f []byte) uint64 {
		h, ip := by.hash(f)
		if !ip {
			t.Errorf("%x is no IP", f)
		}
		return h
	}
	if hash(byIP, tcp) != hash(byIP, udp) || hash(byIP, tcp) == hash(byIP, elsewhere) {
		t.Error("ip does not go by addresses alone")
	}
	if hash(byMAC, tcp) != hash(byMAC, elsewhere) {
		t.Error("mac looks into IP")
	}
}

// Flows spread evenly, for any number of pipes.
func TestHashSpreads(t *testing.T) {
	const flows = 20000
	for _, e := range []ends{four, six} {
		for _, pipes := range []uint64{2, 3, 4, 7, 16} {
			count := make([]int, pipes)
			for i := range flows {
				e.aPort = uint16(i)
				f := ether(kind4, e.ipv4(6, 0, e.ports()))
				if len(e.a) > 4 {
					f = ether(kind6, e.ipv6(6, e.ports()))
				}
				h, _ := byFlow.hash([]byte(f))
				count[pipeOf(h, int(pipes))]++
			}
			for i, n := range count {
				if mean := flows / int(pipes); n < mean*85/100 || n > mean*115/100 {
					t.Errorf("%d of %d flows in pipe %d of %d", n, flows, i, pipes)
				}
			}
		}
	}
}

// No hash reads beyond the end of its frame or allocates.
func TestHashOfAnything(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	inner := ether(kind6, six.ipv6(0, "\x2c\x00xxxxxx\x06\x00\x00\x00iiii"+six.ports()))
	gre := four.ipv4(47, 0, "\xb0\x00\x65\x58ccccKKKKssss"+inner)
	full := []byte(ether(kind4, four.ipv4(4, 0, gre)))
	for n := range full {
		byFlow.hash(full[:n])
	}
	for range 100000 {
		f := append([]byte(nil), full...)
		for range 1 + rnd.IntN(4) {
			f[12+rnd.IntN(len(f)-12)] = byte(rnd.Uint32())
		}
		byFlow.hash(f[:rnd.IntN(len(f))])
	}
	if n := testing.AllocsPerRun(100, func() { byFlow.hash(full) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHash(b *testing.B) {
	f := []byte(ether(kind4, four.ipv4(6, 0, four.ports())))
	for b.Loop() {
		byFlow.hash(f)
	}
}
