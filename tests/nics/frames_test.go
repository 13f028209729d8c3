//go:build linux

package nics

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
)

// testFrames sends frames of all lengths in both directions, on all queues and on single ones.
func testFrames(t *testing.T, p *pair) {
	for _, w := range p.lab.ways() {
		a, b := p.a.open(t, w, ""), p.b.open(t, w, "")
		if w.name == "inside" {
			p.mode = p.lab.mode(p.a.name)
			p.note("mode %s", p.mode)
		}
		p.ready(t)
		spread := p.exchange(t, a, b, 600)
		p.note("%s: %d queues, received on each: %v, the other way %v", w.name, len(spread), spread,
			p.exchange(t, b, a, 600))
		a.Close()
		b.Close()
	}
	for i, w := range p.lab.ways() {
		last := p.a.queues() - 1
		// The first in this process, the last through the device.
		queue := fmt.Sprintf("-%d", i*last)
		a, b := p.a.open(t, w, queue), p.b.open(t, w, "")
		p.ready(t)
		p.exchange(t, a, b, 300)
		a.Close()
		b.Close()
	}
}

// exchange sends frames from one port to the other, and checks that each arrives once and
// unchanged. It never has more frames on the way than the smallest card has room for. It returns
// the number of frames on each ring.
func (p *pair) exchange(t *testing.T, from, to *netmap.Port, frames int) []int {
	t.Helper()
	p.warmUp(t, from, to)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make(chan error, 1)
	series := nextSeries()
	r := newReceiver(series, frames)
	r.strips = p.strips
	var arrived atomic.Int64
	go func() {
		sent <- send(ctx, from, series, frames, func(sent int) bool {
			return sent-int(arrived.Load()) < inFlight
		})
	}()
	var err error
	for last, count := time.Now(), 0; r.count < frames && time.Since(last) < 5*time.Second; {
		if _, err = to.Poll(ctx, netmap.In, 50*time.Millisecond); err != nil {
			break
		}
		if r.take(to); r.count > count {
			count, last = r.count, time.Now()
			arrived.Store(int64(count))
		}
	}
	cancel()
	if e := <-sent; e != nil {
		t.Errorf("%s: send: %v", from.Name(), e)
	}
	if err != nil || r.count < frames || len(r.bad) > 0 {
		t.Errorf("from %s to %s: %d of %d frames arrived, on queues %v, %d repeated, %d damaged: "+
			"%v %v", from.Name(), to.Name(), r.count, frames, r.spread, r.repeated, len(r.bad),
			r.bad[:min(len(r.bad), 5)], err)
		t.Logf("missing %v; %s", r.missing(), p.counters(t))
	}
	return r.spread
}

// warmUp sends frames until one arrives. QEMU's e1000 delays frames that arrive within a second
// after a change of its receive settings, and then drops those that do not fit into its ring. Real
// cards lose frames while they renegotiate.
func (p *pair) warmUp(t *testing.T, from, to *netmap.Port) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log(p.counters(t))
		}
	}()
	r := newReceiver(nextSeries(), 1<<20)
	r.strips = p.strips
	i := 0
	eventually(t, "a frame passes from "+from.Name()+" to "+to.Name(), func() bool {
		for range len(from.Tx()) {
			from.Tx()[i%len(from.Tx())].Send(makeFrame(r.series, i))
			i++
		}
		if err := from.TxSync(); err != nil {
			t.Fatalf("%s: send: %v", from.Name(), err)
		}
		to.Poll(t.Context(), netmap.In, 20*time.Millisecond)
		r.take(to)
		return r.count > 0
	})
}

// counters returns the counters of the kernel and of netmap for both interfaces, for the report of
// a failed test.
func (p *pair) counters(t *testing.T) string {
	var b strings.Builder
	for _, s := range []*side{&p.a, &p.b} {
		c := s.link(t).Attrs().Statistics
		fmt.Fprintf(&b, "%s: sent %d, dropped %d, received %d, dropped %d, missed %d, overruns %d; ",
			s.id, c.TxPackets, c.TxDropped, c.RxPackets, c.RxDropped, c.RxMissedErrors,
			c.RxOverErrors)
	}
	for _, s := range p.lab.inside.Stats() {
		fmt.Fprintf(&b, "%s: %v; ", s.Name, s.Drops)
	}
	return b.String()
}

// inFlight is the number of frames that may be on the way at once. 8139cp has room for 64, and the
// guest's processor may stop for a long time.
const inFlight = 32

// send sends numbered frames in batches, through all rings in turn. It waits until may, given the
// number of frames sent so far, returns true.
func send(ctx context.Context, port *netmap.Port, series uint32, frames int,
	may func(sent int) bool) error {
	const batch = 16
	for i := 0; ctx.Err() == nil; { // sync until the end, as some drivers send only in a sync
		if i < frames && may(i) {
			ring := port.Tx()[i/batch%len(port.Tx())]
			for end := min(i+batch, frames); i < end && ctx.Err() == nil; {
				i += ring.Send(makeFrame(series, i))
				if err := port.TxSync(); err != nil {
					return err
				}
			}
			continue
		}
		if err := port.TxSync(); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// receiver checks frames.
type receiver struct {
	series          uint32
	seen            []bool
	count, repeated int
	bad             []string
	strips          bool // frames arrive without their VLAN tags
	spread          []int
}

func newReceiver(series uint32, frames int) *receiver {
	return &receiver{series: series, seen: make([]bool, frames)}
}

// take checks the frames in the port's rings, and releases them.
func (r *receiver) take(port *netmap.Port) {
	if r.spread == nil {
		r.spread = make([]int, len(port.Rx()))
	}
	for i, ring := range port.Rx() {
		for _, frame := range ring.Frames() {
			r.look(i, frame)
		}
	}
}

func (r *receiver) look(ring int, frame []byte) {
	series, n := number(frame)
	switch {
	case series != r.series: // a frame of the host, or a late one
	case n >= len(r.seen) || !bytes.Equal(frame, r.wanted(n)):
		r.bad = append(r.bad, fmt.Sprintf("number %d, %d bytes, starts with %x", n, len(frame),
			frame[:min(len(frame), 20)]))
	case r.seen[n]:
		r.repeated++
		r.bad = append(r.bad, fmt.Sprintf("number %d again", n))
	default:
		r.seen[n] = true
		r.count++
		r.spread[ring]++
	}
}

// wanted returns the frame of a number as it has to arrive.
func (r *receiver) wanted(n int) []byte {
	b := makeFrame(r.series, n)
	if r.strips && binary.BigEndian.Uint16(b[12:]) == 0x8100 {
		b = slices.Delete(b, 12, 12+tagLength)
	}
	return b
}

func (r *receiver) missing() (all []int) {
	for i, seen := range r.seen {
		if !seen && len(all) < 20 {
			all = append(all, i)
		}
	}
	return all
}

// lastSeries is the number of the last series of frames. It tells late frames of one series from
// those of the next.
var lastSeries atomic.Uint32

const firstSeries = 0x6e6d0000

func nextSeries() uint32 { return firstSeries + lastSeries.Add(1) }

// A frame has addresses, an optional VLAN tag, IPv4, UDP with many ports so that cards spread
// frames over queues, the series, the number, and bytes that depend on the number.
const (
	headers   = 14 + 20 + 8
	smallest  = 60
	largest   = 1514
	tagLength = 4
)

// makeFrame makes frame number n. Lengths are between 60 and 1514, both ends most often. Every
// fourth frame has a tag, which makes it longer.
func makeFrame(series uint32, n int) []byte {
	length := smallest + n*37%(largest-smallest+1)
	switch n % 10 {
	case 0:
		length = smallest
	case 1, 2:
		length = largest
	}
	b := make([]byte, 0, largest+tagLength)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9)
	if n%4 == 2 {
		b = binary.BigEndian.AppendUint16(b, 0x8100)
		b = binary.BigEndian.AppendUint16(b, uint16(n%4094+1))
	}
	b = binary.BigEndian.AppendUint16(b, 0x0800)
	b = append(b, ipv4(length, n)...)
	b = binary.BigEndian.AppendUint16(b, uint16(1024+n%5000))
	b = binary.BigEndian.AppendUint16(b, uint16(2048+n%777))
	b = binary.BigEndian.AppendUint16(b, uint16(length-14-20))
	b = append(b, 0, 0) // no checksum
	b = binary.BigEndian.AppendUint32(b, series)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	end := length
	if n%4 == 2 {
		end += tagLength
	}
	for i := len(b); i < end; i++ {
		b = append(b, byte(n*7+i))
	}
	return b
}

// ipv4 returns the header of a packet between addresses that no host has.
func ipv4(length, n int) []byte {
	h := []byte{0x45, 0, 0, 0, byte(n >> 8), byte(n), 0, 0, 64, 17, 0, 0, 198, 18, 0, byte(n), 198,
		19, byte(n >> 8), byte(n * 3)}
	binary.BigEndian.PutUint16(h[2:], uint16(length-14))
	var sum uint32
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum+sum>>16))
	return h
}

// number returns the series and number of a frame; series 0 is no frame of a test.
func number(frame []byte) (series uint32, n int) {
	if len(frame) > 14 && binary.BigEndian.Uint16(frame[12:]) == 0x8100 {
		frame = frame[tagLength:]
	}
	if len(frame) < headers+8 ||
		binary.BigEndian.Uint32(frame[headers:])&0xffff0000 != firstSeries {
		return 0, 0
	}
	return binary.BigEndian.Uint32(frame[headers:]), int(binary.BigEndian.Uint32(frame[headers+4:]))
}
