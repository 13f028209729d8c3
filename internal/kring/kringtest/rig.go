package kringtest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// Net is a port to be tested, and the ports with which it exchanges frames. Frames that are sent on
// ring i arrive in ring i. The rings of all ports are in one region.
type Net struct {
	Region *mem.Region
	Port   port.Port
	From   port.Port   // frames sent here arrive at Port; nil for a port that receives nothing
	To     port.Port   // frames that Port sends arrive here; nil for a port that sends nothing
	Beside []port.Port // ports whose programs must read their frames, or Port would get no more
	// Lossy means that frames are lost when the receiver's ring is full. Otherwise the sender
	// waits.
	Lossy bool
	// Again reports whether an error of Start is temporary, because the kernel is slow; may be nil.
	Again func(error) bool
}

// limit is how long anything may take.
const limit = 5 * time.Second

// rig is a net with its rings, for a test.
type rig struct {
	testing.TB
	Net
	ports   []port.Port
	rings   []*Ring // of all ports, rx before tx
	mine    []*Ring // of the port
	beside  []*Ring // rx rings that are read all the time
	flows   []*flow
	started map[*Ring]bool
	lost    []uint32 // buffers that a test has taken out of slots
}

// flow is a tx ring, and the rx ring at which its frames arrive.
type flow struct {
	rig    *rig
	tx, rx *Ring
}

// newRig makes a rig without open rings. At the end of the test it closes all rings and the ports.
func newRig(t testing.TB, n Net) *rig {
	g := &rig{TB: t, Net: n, started: map[*Ring]bool{}}
	for _, p := range append([]port.Port{n.Port, n.From, n.To}, n.Beside...) {
		if p != nil && !slices.Contains(g.ports, p) {
			g.ports = append(g.ports, p)
		}
	}
	for _, p := range g.ports {
		for _, dir := range []kring.Dir{abi.DirRx, abi.DirTx} {
			for _, r := range p.Rings(dir) {
				g.rings = append(g.rings, &Ring{Ring: r, port: p, region: n.Region, refuses: true})
			}
		}
	}
	for _, r := range g.rings {
		if r.port == n.Port {
			g.mine = append(g.mine, r)
		}
		if r.Dir == abi.DirRx && slices.Contains(n.Beside, r.port) {
			g.beside = append(g.beside, r)
		}
	}
	g.join(n.From, n.Port)
	if n.From != n.Port {
		g.join(n.Port, n.To)
	}
	t.Cleanup(g.close)
	return g
}

func (g *rig) join(from, to port.Port) {
	if from == nil || to == nil {
		return
	}
	at := func(p port.Port, dir kring.Dir, i int) *Ring {
		return g.rings[slices.IndexFunc(g.rings, func(r *Ring) bool { return r.Ring == p.Rings(dir)[i] })]
	}
	for i := range min(len(from.Rings(abi.DirTx)), len(to.Rings(abi.DirRx))) {
		f := &flow{g, at(from, abi.DirTx, i), at(to, abi.DirRx, i)}
		f.tx.refuses, f.rx.refuses = false, false
		g.flows = append(g.flows, f)
	}
}

func (g *rig) close() {
	g.stopAll()
	for _, b := range g.lost {
		g.Region.FreeBuf(b)
	}
	for _, p := range g.ports {
		if err := p.Close(); err != nil {
			g.Errorf("close: %v", err)
		}
	}
}

func (g *rig) tryStart(r *Ring) error {
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		err := r.start()
		g.started[r] = err == nil
		if err == nil || g.Again == nil || !g.Again(err) || time.Now().After(end) {
			return err
		}
	}
}

func (g *rig) start(r *Ring) {
	g.Helper()
	if err := g.tryStart(r); err != nil {
		g.Fatalf("start %s: %v", r.Name, err)
	}
}

func (g *rig) startAll(rings []*Ring) {
	g.Helper()
	for _, r := range rings {
		g.start(r)
	}
}

func (g *rig) stop(r *Ring) {
	r.Close()
	g.started[r] = false
}

func (g *rig) stopAll() {
	for _, r := range g.rings {
		if g.started[r] {
			g.stop(r)
		}
	}
}

// wantNothingLeft checks that stopped rings have left nothing behind.
func (g *rig) wantNothingLeft() {
	g.Helper()
	for _, b := range g.lost {
		g.Region.FreeBuf(b)
	}
	g.lost = nil
	if u := g.Region.Usage(); !u.Full() {
		g.Fatalf("all rings are stopped, and not everything is back: %+v", u)
	}
	for _, r := range g.rings {
		if r.Mapped() {
			g.Fatalf("%s is stopped and has memory", r.Name)
		}
	}
}

// guard is memory that must not change, whatever programs write to their rings.
type guard struct {
	g      *rig
	ring   *mem.Ring // of another port
	watch  [][]byte
	before [][]byte
}

// guard watches the reserved buffers, and a ring of another port.
func (g *rig) guard() *guard {
	ring, err := g.Region.NewRing("bystander", 0, abi.DirRx, 8)
	if err != nil {
		g.Fatal(err)
	}
	w := &guard{g: g, ring: ring}
	w.watch = [][]byte{g.Region.Bufs.Bytes(0), g.Region.Bufs.Bytes(1),
		g.Region.Bytes()[ring.Offset:][:abi.RingSize+8*abi.SlotSize]}
	for _, b := range w.watch {
		w.before = append(w.before, bytes.Clone(b))
	}
	return w
}

// check ends the watch.
func (w *guard) check() {
	w.g.Helper()
	for i, b := range w.watch {
		if !bytes.Equal(b, w.before[i]) {
			w.g.Errorf("a program wrote into %s", []string{"buffer 0", "buffer 1", "another port's ring"}[i])
		}
	}
	w.g.Region.FreeRing(w.ring)
}

// spoilSlot makes the ring's program write a slot. Its buffer may be lost.
func (g *rig) spoilSlot(r *Ring, i uint32, bad abi.Slot) {
	s := r.Slot(i)
	if bad.BufIdx == keep {
		bad.BufIdx = s.BufIdx
	} else if r.Bufs().Valid(s.BufIdx) {
		g.lost = append(g.lost, s.BufIdx)
	}
	*s = bad
}

// mend puts a lost buffer, if there is one, into a slot without a buffer.
func (g *rig) mend(r *Ring) {
	i := r.Shared.Head.Load()
	if i == r.Shared.Tail.Load() || len(g.lost) == 0 || r.Bufs().Valid(r.Slot(i).BufIdx) {
		return
	}
	last := len(g.lost) - 1
	*r.Slot(i) = abi.Slot{BufIdx: g.lost[last], Flags: abi.NSBufChanged}
	g.lost = g.lost[:last]
}

// pull takes a frame out of a ring.
func (g *rig) pull(r *Ring) (frame []byte, flags uint16, ok bool) {
	g.mend(r)
	return r.Pull()
}

// read makes a program read all frames of a ring.
func (g *rig) read(r *Ring) {
	for r.Sync(g); r.Shared.Head.Load() != r.Shared.Tail.Load(); r.Sync(g) {
		r.SetHead(r.Shared.Tail.Load())
	}
}

// header is how many bytes of a frame identify it. The byte at ringAt is the number of the ring on
// which the frame was sent.
const (
	header = 18
	ringAt = 11
)

// filling is the contents of frames, from a byte on that depends on their number.
var filling = func() (b [512]byte) {
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

// frame makes frame n of a ring: a broadcast of 60 to 159 bytes.
func frame(ring uint16, n int) []byte {
	b := append(make([]byte, 0, 160), "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00"...)
	b = append(b, byte(ring), 0x88, 0xb5)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return append(b, filling[n%256:][:42+n%100]...)
}

// isFrame reports whether b is such a frame, complete and unchanged.
func isFrame(b []byte) bool {
	return len(b) > header &&
		bytes.Equal(b, frame(uint16(b[ringAt]), int(binary.BigEndian.Uint32(b[header-4:]))))
}

func (f *flow) frame(n int) []byte { return frame(f.tx.ID, n) }

// tryPush hands frame n over, if the program has a slot.
func (f *flow) tryPush(n int) bool {
	f.rig.mend(f.tx)
	return f.tx.Push(f.frame(n), 0)
}

// push hands frame n over.
func (f *flow) push(n int) {
	f.rig.Helper()
	f.await("room", func() bool {
		if f.tryPush(n) {
			return true
		}
		f.step()
		return false
	})
}

// fill sends frames, from number 0 on, until the sender has no slot, but at most twice as many as
// the receiver can hold. Nobody receives.
func (f *flow) fill() (sent int) {
	f.step()
	for sent < 2*int(f.rx.N) && f.tryPush(sent) {
		sent++
		f.step()
	}
	return sent
}

// stepTx syncs the sending rings, stepRx the receiving ones, and step both.
func (f *flow) stepTx() {
	f.tx.Sync(f.rig)
	for _, r := range f.rig.beside {
		f.rig.read(r)
	}
	if len(f.rig.beside) > 0 {
		f.tx.Sync(f.rig)
	}
}

func (f *flow) stepRx() { f.rx.Sync(f.rig) }

func (f *flow) step() {
	f.stepTx()
	f.stepRx()
}

// await repeats try until it succeeds.
func (f *flow) await(what string, try func() bool) {
	f.rig.Helper()
	if !f.awaitFor(limit, try) {
		f.rig.Fatalf("%s to %s: in vain waited for %s", f.tx.Name, f.rx.Name, what)
	}
}

func (f *flow) awaitFor(most time.Duration, try func() bool) bool {
	for end := time.Now().Add(most); !try(); time.Sleep(10 * time.Microsecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// hasFrames reports, after a sync, whether the receiver has frames.
func (f *flow) hasFrames() bool {
	f.step()
	return len(f.rx.Mine()) > 0
}

// wantFrame takes a frame, which must be frame n.
func (f *flow) wantFrame(n int) {
	f.rig.Helper()
	if got, _, ok := f.rig.pull(f.rx); !ok || !bytes.Equal(got, f.frame(n)) {
		f.rig.Errorf("%s to %s: received %x, want frame %d: %x", f.tx.Name, f.rx.Name, got, n, f.frame(n))
	}
}

// exchange sends up to so many frames, at most as many as the receiver has room for, and receives
// them.
func (f *flow) exchange(n int) {
	f.rig.Helper()
	n = min(n, int(f.rx.N)-1)
	for i := range n {
		f.push(i)
	}
	f.await("frames", func() bool { f.step(); return len(f.rx.Mine()) >= n })
	for i := range n {
		f.wantFrame(i)
	}
	if f.hasFrames() {
		f.rig.Errorf("%s to %s: more frames arrived than were sent", f.tx.Name, f.rx.Name)
	}
}

func (g *rig) exchangeAll(n int) {
	g.Helper()
	for _, f := range g.flows {
		f.exchange(n)
	}
}

// drain receives all frames in flight. The kernel may take a while to deliver them.
func (f *flow) drain() {
	most := time.Duration(0)
	if f.rx.News == kring.Readable {
		most = 20 * time.Millisecond
	}
	for f.awaitFor(most, f.hasFrames) || f.hasFrames() {
		for ok := true; ok; {
			_, _, ok = f.rig.pull(f.rx)
		}
	}
}
