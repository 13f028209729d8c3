package testframe

import "math/rand/v2"

// Flows are the addresses of the frames of a stream. Each frame has the next address of a range, or
// new random addresses.
type Flows struct {
	SrcMAC, DstMAC       MACs
	Src, Dst             Hosts // both of the same version of IP
	RandomSrc, RandomDst bool
}

// IPv6 reports whether the frames have IPv6 addresses.
func (f Flows) IPv6() bool { return f.Src.v6 }

// headers is the length of the headers.
func (f Flows) headers() int {
	if f.Src.v6 {
		return udp6At + 8
	}
	return udpAt + 8
}

func (f Flows) single() bool {
	return f.SrcMAC.first == f.SrcMAC.last && f.DstMAC.first == f.DstMAC.last && f.Src.single() &&
		f.Dst.single() &&
		!f.RandomSrc && !f.RandomDst
}

// flow is the current position in Flows.
type flow struct {
	Flows
	src, dst       host
	srcMAC, dstMAC uint64
	random64       uint64 // state of xorshift64: never 0
}

type host struct {
	ip   uint32 // or the counting group of an IPv6 address
	port uint16
}

func (f Flows) start() flow {
	w := flow{Flows: f, src: f.Src.first(), dst: f.Dst.first(), srcMAC: f.SrcMAC.first,
		dstMAC: f.DstMAC.first, random64: rand.Uint64() | 1}
	w.draw()
	return w
}

// next moves to the next addresses. The source's port changes fastest, then its address, then the
// destination's port and address. MAC addresses change independently.
func (f *flow) next() {
	if f.RandomSrc || f.Src.next(&f.src) {
		f.Dst.next(&f.dst)
	}
	f.srcMAC = f.SrcMAC.next(f.srcMAC)
	f.dstMAC = f.DstMAC.next(f.dstMAC)
	f.draw()
}

// draw chooses the random addresses.
func (f *flow) draw() {
	if f.RandomSrc {
		f.src = f.random()
	}
	if f.RandomDst {
		f.dst = f.random()
	}
}

func (f *flow) random() host {
	f.random64 ^= f.random64 << 13
	f.random64 ^= f.random64 >> 7
	f.random64 ^= f.random64 << 17
	return host{uint32(f.random64 >> 32), uint16(f.random64 >> 16)}
}

// next moves to the next host, and reports whether the range starts again.
func (r Hosts) next(h *host) bool {
	if h.port < r.lastPort {
		h.port++
		return false
	}
	h.port = r.firstPort
	if h.ip < r.lastIP {
		h.ip++
		return false
	}
	h.ip = r.firstIP
	return true
}

func (r Hosts) first() host { return host{r.firstIP, r.firstPort} }

func (r MACs) next(m uint64) uint64 {
	if m < r.last {
		return m + 1
	}
	return r.first
}

func (r MACs) at(m uint64) []byte {
	var b [8]byte
	be.PutUint64(b[:], m)
	return b[2:]
}
