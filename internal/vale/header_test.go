package vale

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/vnethdr"
)

// setHeaders gives ports headers of these lengths.
func setHeaders(t testing.TB, ports []*station, lengths ...uint32) {
	t.Helper()
	for i, n := range lengths {
		if err := ports[i].SetHeader(n); err != nil {
			t.Fatal(err)
		}
	}
}

// pushCut hands over a packet in slots whose lengths cuts returns.
func pushCut(t testing.TB, r *kringtest.Ring, packet []byte, cuts func() int) {
	t.Helper()
	for len(packet) > 0 {
		n := min(cuts(), len(packet))
		flags := uint16(abi.NSMoreFrag)
		if n == len(packet) {
			flags = 0
		}
		if !r.Push(packet[:n], flags) {
			t.Fatal("no room")
		}
		packet = packet[n:]
	}
}

// pullWhole joins the slots of a packet.
func pullWhole(t testing.TB, r *kringtest.Ring) (packet []byte, ok bool) {
	t.Helper()
	for slots := 1; ; slots++ {
		part, flags, got := r.Pull()
		if !got {
			return nil, false
		}
		packet = append(packet, part...)
		if flags&abi.NSMoreFrag == 0 {
			if int(flags>>8) != slots {
				t.Fatalf("a packet of %d slots says %d", slots, flags>>8)
			}
			return packet, true
		}
	}
}

func TestHeaderLengths(t *testing.T) {
	p := ports(t, 1)[0]
	for n := range uint32(100) {
		err := p.SetHeader(n)
		if ok := n == 0 || n == 10 || n == 12; ok != (err == nil) ||
			!ok && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if p.Header() != 12 {
		t.Errorf("%d, want the last one that was accepted", p.Header())
	}
}

// Every pair of header lengths works with packets of all sizes, cut in all ways.
func TestHeadersOfDifferingLengths(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, from := range []uint32{0, 10, 12} {
		for _, to := range []uint32{0, 10, 12} {
			p := ports(t, 2)
			setHeaders(t, p, from, to)
			for range 300 {
				header := make([]byte, from)
				for i := range header {
					header[i] = byte(rnd.Uint32())
				}
				if from > 0 && to == 0 {
					header[0], header[1] = 2, 0 // requests nothing
				}
				data := packet('*', 'a', "")
				for range rnd.IntN(2000) {
					data = append(data, byte(rnd.Uint32()))
				}
				first := true
				pushCut(t, p[0].tx[0], append(header, data...), func() int {
					switch {
					case !first:
						return 64 + rnd.IntN(192)
					case rnd.IntN(4) == 0 && from > 0:
						first = false
						return int(from) // the header alone
					}
					first = false
					return int(from) + 14 + rnd.IntN(200)
				})
				p[0].tx[0].Sync(t)
				p[1].rx[0].Sync(t)
				want := make([]byte, to)
				if from == to {
					copy(want, header)
				} else {
					copy(want[:min(to, 10)], header)
				}
				want = append(want, data...)
				got, ok := pullWhole(t, p[1].rx[0])
				if !ok || !bytes.Equal(got, want) {
					t.Fatalf("from %d to %d: %d bytes %x…, want %d bytes %x…", from, to, len(got),
						got[:min(30, len(got))], len(want), want[:30])
				}
				p[1].rx[0].Sync(t)
			}
		}
	}
}

func TestHeadersThatAreCutOff(t *testing.T) {
	p := ports(t, 2)
	setHeaders(t, p, 12, 12)
	tx := p[0].tx[0]
	whole := append(make([]byte, 12), packet('*', 'a', "x")...)
	tx.Push(whole[:11], abi.NSMoreFrag) // in the middle of the header
	tx.Push(whole[11:], 0)
	tx.Push(whole[:20], abi.NSMoreFrag) // in the middle of the addresses
	tx.Push(whole[20:], 0)
	tx.Push(whole[:12], 0) // the header alone
	tx.Push(whole[:12+13], 0)
	tx.Push(whole[:12], abi.NSMoreFrag)
	tx.Push(whole[12:25], 0)
	tx.Sync(t)
	wantDrops(t, tx, kring.TooShort, 5)
}

// ipPacket returns an Ethernet frame with tags, IP and TCP or UDP headers, and a payload.
func ipPacket(v6, udp bool, tags, options, size int) []byte {
	b := append(address('*'), address('a')...)
	for range tags {
		b = append(b, 0x81, 0, 0, 7)
	}
	l4 := make([]byte, 20+options)
	l4[12], l4[13] = byte((20+options)/4)<<4, 0x80|0x08|0x01|0x10
	binary.BigEndian.PutUint32(l4[4:], 0xffffff00)
	proto := byte(6)
	if udp {
		l4, proto = make([]byte, 8), 17
	}
	for i := range size {
		l4 = append(l4, byte(i*7+i/256))
	}
	if udp {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	}
	copy(l4, []byte{0x12, 0x34, 0x56, 0x78})
	if v6 {
		ip := make([]byte, 40)
		ip[0], ip[6], ip[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(ip[4:], uint16(len(l4)))
		for i := range 32 {
			ip[8+i] = byte(i)
		}
		return append(append(append(b, 0x86, 0xdd), ip...), l4...)
	}
	ip := make([]byte, 20+options)
	ip[0], ip[8], ip[9] = 0x40|byte(20+options)/4, 64, proto
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(l4)))
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	ip[4], ip[5] = 0xff, 0xfe
	return append(append(append(b, 0x08, 0x00), ip...), l4...)
}

// slowSum is the Internet checksum, computed 16 bits at a time.
func slowSum(parts ...[]byte) uint16 {
	n := uint32(0)
	for _, b := range parts {
		if len(b)%2 == 1 {
			b = append(bytes.Clone(b), 0)
		}
		for i := 0; i < len(b); i += 2 {
			n += uint32(b[i])<<8 | uint32(b[i+1])
			n = n&0xffff + n>>16
		}
	}
	return uint16(n)
}

// dissect checks lengths and checksums of a frame and takes it apart.
func dissect(t *testing.T, b []byte, tags int, fragment bool) (ip, l4 []byte) {
	t.Helper()
	ip = b[14+4*tags:]
	var pseudo []byte
	var proto byte
	if v6 := ip[0]>>4 == 6; v6 {
		l4, proto, pseudo = ip[40:], ip[6], ip[8:40]
		if int(binary.BigEndian.Uint16(ip[4:])) != len(l4) {
			t.Fatalf("IPv6 payload of %d bytes, and there are %d", binary.BigEndian.Uint16(ip[4:]), len(l4))
		}
	} else {
		n := int(ip[0]&0xf) * 4
		l4, proto, pseudo = ip[n:], ip[9], ip[12:20]
		if int(binary.BigEndian.Uint16(ip[2:])) != len(ip) || slowSum(ip[:n]) != 0xffff {
			t.Fatalf("IPv4 length %d, there are %d; header sum %#x", binary.BigEndian.Uint16(ip[2:]),
				len(ip), slowSum(ip[:n]))
		}
	}
	if !fragment {
		if s := slowSum(pseudo, []byte{0, proto, byte(len(l4) >> 8), byte(len(l4))}, l4); s != 0xffff {
			t.Fatalf("sum of the transport header %#x", s)
		}
		if proto == 17 && int(binary.BigEndian.Uint16(l4[4:])) != len(l4) {
			t.Fatalf("UDP length %d, there are %d", binary.BigEndian.Uint16(l4[4:]), len(l4))
		}
	}
	return ip, l4
}

func virtio(flags, kind byte, size, start, offset int) []byte {
	h := make([]byte, 12)
	h[0], h[1] = flags, kind
	for i, v := range []int{0, size, start, offset} {
		binary.LittleEndian.PutUint16(h[2+2*i:], uint16(v))
	}
	return h
}

// exchange sends a packet with a header from one port to another without and returns what arrives.
func exchange(t *testing.T, p []*station, header, data []byte) (frames [][]byte) {
	t.Helper()
	pushCut(t, p[0].tx[0], append(bytes.Clone(header), data...), func() int { return 256 })
	p[0].tx[0].Sync(t)
	p[1].rx[0].Sync(t)
	for {
		f, ok := pullWhole(t, p[1].rx[0])
		if !ok {
			p[1].rx[0].Sync(t)
			return frames
		}
		frames = append(frames, f)
	}
}

func TestChecksumsAreCompleted(t *testing.T) {
	p := ports(t, 2)
	setHeaders(t, p, 12, 0)
	for _, v6 := range []bool{false, true} {
		for _, udp := range []bool{false, true} {
			for size := range 300 {
				data := ipPacket(v6, udp, size%3, 4*(size%4), size)
				options, offset := 4*(size%4), 16
				if udp {
					offset = 6
				}
				start := 14 + 4*(size%3) + 20 + options
				pseudo := data[14+4*(size%3)+12:][:8]
				if v6 {
					start = 14 + 4*(size%3) + 40
					pseudo = data[14+4*(size%3)+8:][:32]
				} else {
					ip := data[start-20-options : start]
					binary.BigEndian.PutUint16(ip[10:], ^slowSum(ip))
				}
				l4 := data[start:]
				proto := byte(6)
				if udp {
					proto = 17
				}
				binary.BigEndian.PutUint16(l4[offset:],
					slowSum(pseudo, []byte{0, proto, byte(len(l4) >> 8), byte(len(l4))}))
				got := exchange(t, p, virtio(vnethdr.NeedsSum, vnethdr.GSONone, 0, start, offset), data)
				if len(got) != 1 || len(got[0]) != len(data) {
					t.Fatalf("%d packets", len(got))
				}
				dissect(t, got[0], size%3, false)
			}
		}
	}
}

// The payloads of the frames into which a packet is split are the packet's payload.
func TestPacketsAreSplit(t *testing.T) {
	w := newNet(t)
	a, b := w.join(t, 1, 1, 1024), w.join(t, 1, 1, 1024)
	p := []*station{a, b}
	setHeaders(t, p, 10, 0)
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		kind := []byte{vnethdr.GSOTCP4, vnethdr.GSOTCP6, vnethdr.GSOUDPL4, vnethdr.GSOUDP}[rnd.IntN(4)]
		v6 := kind == vnethdr.GSOTCP6 || kind == vnethdr.GSOUDPL4 && rnd.IntN(2) == 0
		udp, tags, options := kind == vnethdr.GSOUDP ||
			kind == vnethdr.GSOUDPL4, rnd.IntN(3), 4*rnd.IntN(4)
		size := rnd.IntN(16000)
		data := ipPacket(v6, udp, tags, options, size)
		mss := []int{0, 40 + rnd.IntN(100), 1 << 15}[rnd.IntN(3)]
		got := exchange(t, p, virtio(vnethdr.NeedsSum, kind|byte(rnd.IntN(2))*vnethdr.GSOECN, mss, 0,
			0)[:10], data)
		var all []byte
		head := len(data) - size - 14 - 4*tags
		for i, f := range got {
			if len(f) > 256 { // the buffers' size
				t.Fatalf("a frame of %d bytes", len(f))
			}
			ip, l4 := dissect(t, f, tags, kind == vnethdr.GSOUDP)
			last := i == len(got)-1
			switch kind {
			case vnethdr.GSOUDP:
				at := binary.BigEndian.Uint16(ip[6:])
				if int(at&0x1fff)*8 != len(all) || (at&0x2000 == 0) != last {
					t.Fatalf("fragment %#x after %d bytes", at, len(all))
				}
				all = append(all, l4...)
				continue
			case vnethdr.GSOTCP4, vnethdr.GSOTCP6:
				if seq := binary.BigEndian.Uint32(l4[4:]); seq != 0xffffff00+uint32(len(all)) {
					t.Fatalf("sequence %#x after %d bytes", seq, len(all))
				}
				flags := byte(0x10)
				if i == 0 {
					flags |= 0x80
				}
				if last {
					flags |= 0x09
				}
				if l4[13] != flags {
					t.Fatalf("TCP flags %#x of frame %d of %d, want %#x", l4[13], i, len(got), flags)
				}
			}
			if !v6 && binary.BigEndian.Uint16(ip[4:]) != uint16(0xfffe+i) {
				t.Fatalf("identification %x of frame %d", ip[4:6], i)
			}
			body := ip[head:]
			if mss > 0 && len(body) > mss || !last && len(body) == 0 {
				t.Fatalf("%d bytes in frame %d", len(body), i)
			}
			all = append(all, body...)
		}
		want := data[len(data)-size:]
		if kind == vnethdr.GSOUDP && len(all) >= 8 {
			ip := got[0][14+4*tags:]
			if s := slowSum(ip[12:20], []byte{0, 17, byte(len(all) >> 8), byte(len(all))},
				all); s != 0xffff {
				t.Fatalf("sum of the datagram %#x", s)
			}
			all = all[8:]
		}
		if !bytes.Equal(all, want) {
			t.Fatalf("type %d: %d bytes in %d frames, want %d", kind, len(all), len(got), size)
		}
	}
}

func TestHeadersThatAskForNonsense(t *testing.T) {
	p := ports(t, 2)
	setHeaders(t, p, 12, 0)
	tcp, udp6 := ipPacket(false, false, 0, 0, 500), ipPacket(true, true, 0, 0, 500)
	arp := packet('*', 'a', "\x08\x06 who has")
	bad := []struct {
		what         string
		header, data []byte
	}{
		{"unknown type", virtio(0, 2, 0, 0, 0), tcp},
		{"unknown flag", virtio(4, vnethdr.GSONone, 0, 0, 0), tcp},
		{"sum behind the packet", virtio(vnethdr.NeedsSum, vnethdr.GSONone, 0, len(tcp)-1, 0), tcp},
		{"sum far behind the packet", virtio(vnethdr.NeedsSum, vnethdr.GSONone, 0, 0xffff, 0xffff), tcp},
		{"IPv6 for IPv4", virtio(0, vnethdr.GSOTCP6, 0, 0, 0), tcp},
		{"UDP for TCP", virtio(0, vnethdr.GSOUDPL4, 0, 0, 0), tcp},
		{"fragments of IPv6", virtio(0, vnethdr.GSOUDP, 0, 0, 0), udp6},
		{"no IP", virtio(0, vnethdr.GSOTCP4, 0, 0, 0), arp},
	}
	for n := 14; n < 54; n++ {
		bad = append(bad, struct {
			what         string
			header, data []byte
		}{fmt.Sprintf("%d bytes of TCP", n), virtio(0, vnethdr.GSOTCP4, 0, 0, 0), tcp[:n]})
	}
	for i, at := range []struct{ at, value int }{{14, 0x44}, {14, 0x55}, {14 + 20 + 12, 0x40},
		{14 + 20 + 12, 0xf0}} {
		mangled := bytes.Clone(tcp)[:14+20+20]
		mangled[at.at] = byte(at.value)
		bad = append(bad, struct {
			what         string
			header, data []byte
		}{fmt.Sprint("mangled ", i), virtio(0, vnethdr.GSOTCP4, 0, 0, 0), mangled})
	}
	for i, c := range bad {
		if got := exchange(t, p, c.header, c.data); len(got) > 0 {
			t.Errorf("%s: %d frames", c.what, len(got))
		}
		wantDrops(t, p[1].rx[0], kring.BadHeader, uint64(i+1))
	}
}

func TestConversionsDoNotAllocate(t *testing.T) {
	p := ports(t, 3)
	setHeaders(t, p, 12, 0, 10)
	data := ipPacket(false, false, 0, 0, 1500)
	if n := testing.AllocsPerRun(100, func() {
		pushCut(t, p[0].tx[0], append(virtio(1, vnethdr.GSOTCP4, 0, 0, 0), data...),
			func() int { return 256 })
		p[0].tx[0].Sync(t)
		for _, r := range p[1:] {
			r.rx[0].Sync(t)
			r.rx[0].SetHead(r.rx[0].Shared.Tail.Load())
			r.rx[0].Sync(t)
		}
	}); n > 2 { // the test's own
		t.Errorf("%v allocations", n)
	}
}
