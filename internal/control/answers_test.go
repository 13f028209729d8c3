//go:build linux

package control_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/control"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// answers are every word that a program finds after each of its calls, for each kind of port.
// doc/compatibility.md lists the differences to the kernel module. A ring is shown as
//
//	tx0 dir 1, 8 slots of 2048, head 2 cur 2 tail 1: b 60/1, b 60/0, b 2048/0
//
// with its first three slots: b for a buffer or - for none, the length and the flags. B is a buffer
// other than the first one of the slot.
type answers struct {
	t       *testing.T
	w       *world
	c       *control.Client
	p       *process
	name    string
	offset  uint64
	buffers map[string]uint32 // the first ones, by slot
}

func answersOf(t *testing.T, w *world, name string, req abi.Register) (*answers, string) {
	t.Helper()
	a := &answers{t: t, w: w, c: w.client(), p: newProcess(), name: name, buffers: map[string]uint32{}}
	req.RingID = 0
	got, _, e := ask(a.c, a.p, abi.ReqRegister, name, req)
	if e != 0 {
		t.Fatalf("register %s: %v", name, e)
	}
	if got.MemSize != w.engine.Region().Size() || got.MemID != w.engine.Region().ID() {
		t.Errorf("%s: region %d of %d bytes", name, got.MemID, got.MemSize)
	}
	a.offset = got.Offset
	return a, fmt.Sprintf("register: tx %dx%d rx %dx%d host %d+%d mode %d flags %#x ringid %d "+
		"extra %d\n", got.TxRings, got.TxSlots, got.RxRings, got.RxSlots, got.HostTxRings,
		got.HostRxRings, got.Mode, got.Flags, got.RingID, got.ExtraBufs) + a.memory()
}

// memory shows the interface and the bound rings.
func (a *answers) memory() string {
	m := a.w.engine.Region().Bytes()
	f := shm.At[abi.If](m, uintptr(a.offset))
	name, _, _ := strings.Cut(string(f.Name[:]), "\x00")
	text := fmt.Sprintf("if %s: version %d flags %d tx %d rx %d host %d+%d bufs %d\n", name, f.Version,
		f.Flags, f.TxRings, f.RxRings,
		f.HostTxRings, f.HostRxRings, f.BufsHead.Load())
	tx := int(f.TxRings + f.HostTxRings)
	for i, ofs := range shm.Slice[int64](m, uintptr(a.offset)+abi.IfSize,
		tx+int(f.RxRings+f.HostRxRings)) {
		if ofs == 0 {
			continue
		}
		what := fmt.Sprintf("tx%d", i)
		if i >= tx {
			what = fmt.Sprintf("rx%d", i-tx)
		}
		text += a.ring(what, a.at(ofs))
	}
	return text
}

// at returns where the ring at an offset from the interface is.
func (a *answers) at(ofs int64) uintptr { return uintptr(int64(a.offset) + ofs) }

func (a *answers) ring(what string, at uintptr) string {
	m := a.w.engine.Region().Bytes()
	g := shm.At[abi.Ring](m, at)
	if !strings.HasSuffix(what, fmt.Sprint(g.RingID)) || g.OffsetMask|g.BufAlign != 0 {
		a.t.Errorf("%s: ringid %d, offset mask %#x, alignment %d", what, g.RingID,
			g.OffsetMask, g.BufAlign)
	}
	text := fmt.Sprintf("%s dir %d, %d slots of %d, head %d cur %d tail %d:", what, g.Dir, g.NumSlots,
		g.BufSize, g.Head.Load(), g.Cur.Load(), g.Tail.Load())
	for i, s := range shm.Slice[abi.Slot](m, at+abi.RingSize, 3) {
		key, w := fmt.Sprint(what, i), s.Word()
		first, known := a.buffers[key]
		buf := map[bool]string{true: "b", false: "B"}[!known || first == w.BufIdx()]
		if w.BufIdx() == 0 {
			buf = "-"
		} else if !known {
			a.buffers[key] = w.BufIdx()
		}
		text += fmt.Sprintf(" %s %d/%x", buf, w.Len(), w.Flags())
	}
	return text + "\n"
}

// put hands over two broadcast frames. The first slot has flags, one of which is for one sync only.
func (a *answers) put() {
	m := a.w.engine.Region().Bytes()
	f := shm.At[abi.If](m, uintptr(a.offset))
	for _, ofs := range shm.Slice[int64](m, uintptr(a.offset)+abi.IfSize,
		int(f.TxRings+f.HostTxRings)) {
		if ofs == 0 {
			continue
		}
		at := a.at(ofs)
		g := shm.At[abi.Ring](m, at)
		slots := shm.Slice[abi.Slot](m, at+abi.RingSize, 2)
		for i := range slots {
			idx := slots[i].Word().BufIdx()
			buf := m[int64(at)+g.BufOfs+int64(idx)*int64(g.BufSize):][:60]
			copy(buf, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
			slots[i].SetWord(abi.MakeSlotWord(idx, 60, []uint16{abi.NSBufChanged | abi.NSReport, 0}[i]))
		}
		g.Cur.Store(2)
		g.Head.Store(2)
		return
	}
}

// take releases the frames of all rx rings.
func (a *answers) take() {
	m := a.w.engine.Region().Bytes()
	f := shm.At[abi.If](m, uintptr(a.offset))
	tx := int(f.TxRings + f.HostTxRings)
	for _, ofs := range shm.Slice[int64](m, uintptr(a.offset)+abi.IfSize,
		tx+int(f.RxRings+f.HostRxRings))[tx:] {
		if ofs != 0 {
			g := shm.At[abi.Ring](m, a.at(ofs))
			g.Cur.Store(g.Tail.Load())
			g.Head.Store(g.Tail.Load())
		}
	}
}

func (a *answers) call(what string) string {
	var e syscall.Errno
	switch what {
	case "txsync":
		e = a.c.Ioctl(a.p, abi.NIOCTXSYNC, nil)
	case "rxsync":
		e = a.c.Ioctl(a.p, abi.NIOCRXSYNC, nil)
	case "poll":
		in, out := a.c.Poll(a.p, session.PollIn), a.c.Poll(a.p, session.PollOut)
		return fmt.Sprintf("poll in %#x out %#x\n", in, out)
	}
	return fmt.Sprintf("%s: errno %d\n%s", what, int(e), a.memory())
}

// untilSent syncs until an interface has sent the frames, which may take a while.
func (a *answers) untilSent(what string) string {
	if a.name == "one" {
		for stop := time.Now().Add(2 * time.Second); time.Now().Before(stop); {
			if strings.Contains(a.call(what), "head 2 cur 2 tail 1:") {
				break
			}
		}
	}
	return what
}

// ask requests the port's description by its name.
func (a *answers) ask() string {
	i, _, e := ask(a.c, a.p, abi.ReqPortInfoGet, a.name, abi.PortInfo{})
	h, _, e2 := ask(a.c, a.p, abi.ReqPortHdrGet, a.name, abi.PortHdr{})
	var m abi.Nmreq
	m.Version = abi.Version
	copy(m.Name[:], a.name)
	e3 := a.c.Ioctl(a.p, abi.NIOCGINFO, abi.Bytes(&m))
	return fmt.Sprintf("info: errno %d tx %dx%d rx %dx%d host %d+%d; header: errno %d %d\n"+
		"NIOCGINFO: errno %d offset %d tx %dx%d rx %dx%d cmd %d arg1 %d arg3 %d flags %d\n",
		int(e), i.TxRings, i.TxSlots, i.RxRings, i.RxSlots, i.HostTxRings, i.HostRxRings,
		int(e2), h.HdrLen,
		int(e3), m.Offset, m.TxRings, m.TxSlots, m.RxRings, m.RxSlots, m.Cmd, m.Arg1, m.Arg3, m.Flags)
}

func TestAnswers(t *testing.T) {
	four := abi.Register{Mode: abi.RegAllNIC, TxSlots: 4, RxSlots: 8}
	with := func(flags uint64) abi.Register {
		r := four
		r.Flags = flags
		return r
	}
	for _, tt := range []struct {
		kind, name, peer string
		req              abi.Register
		want             string
	}{
		{"vale", "vale0:a", "vale0:b", four, wantVale},
		{"pipe", "x{1", "x}1", four, wantPipe},
		{"null", "n", "", abi.Register{Mode: abi.RegNull, MemID: 1, TxRings: 1, RxRings: 1, TxSlots: 4,
			RxSlots: 8}, wantNull},
		{"copy monitor", "vale0:b", "", with(abi.NRMonitorTx | abi.NRMonitorRx), wantCopy},
		{"zero-copy monitor", "vale0:b", "", with(abi.NRZcopyMon), wantZero},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			w := newRoomy(t)
			if tt.req.Flags != 0 {
				w.bind(w.client(), tt.name)
				send := w.client()
				w.bind(send, "vale0:a")
			}
			wantAnswers(t, w, tt.name, tt.peer, tt.req, tt.want)
		})
	}
}

// wantAnswers makes a port send two frames, and its peer release the two that it got.
func wantAnswers(t *testing.T, w *world, name, peer string, req abi.Register, want string) {
	t.Helper()
	a, got := answersOf(t, w, name, req)
	got += a.ask()
	var b *answers
	if peer != "" {
		b, _ = answersOf(t, w, peer, req)
	}
	got += a.call("poll")
	a.put()
	got += a.call(a.untilSent("txsync"))
	if b != nil {
		got += "peer " + b.call("rxsync")
		b.take()
		got += "peer " + b.call("rxsync")
	}
	got += a.call("txsync") + a.call("rxsync") + a.call("poll")
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestAnswersOfInterfaces tests an interface and its host stack in the same way.
func TestAnswersOfInterfaces(t *testing.T) {
	a, b := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, a, "one", b, "two", 1)
	e, err := engine.New(engine.Config{Region: roomy,
		NIC: engine.NICConfig{Slots: 8, StateDir: filepath.Join(t.TempDir(), "state")}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, engine: e}
	t.Cleanup(func() {
		a.Do(w.closeAll)
		e.Close()
	})
	a.Do(func() {
		c := w.client()
		_, _, e := ask(c, newProcess(), abi.ReqRegister, "one", abi.Register{Mode: abi.RegNICSW})
		if e != 0 {
			testutil.Require(t, "AF_XDP and TCX", e)
		}
		c.Close()
		_, _, e = ask(w.client(), newProcess(), abi.ReqValeNewIf, "v0",
			abi.ValeNewIf{TxSlots: 4, RxSlots: 8})
		if e != 0 {
			testutil.Require(t, "TAP interfaces", e)
		}
		wantAnswers(t, w, "v0", "", abi.Register{Mode: abi.RegAllNIC}, wantPersistent)
		w.clients[len(w.clients)-1].Close()
		_, _, e = ask(w.client(), newProcess(), abi.ReqValeDelIf, "v0", struct{}{})
		wantErrno(t, "VALE_DELIF", e, ok)
		wantAnswers(t, w, "one", "", abi.Register{Mode: abi.RegAllNIC}, wantNIC)
		wantAnswers(t, w, "one", "", abi.Register{Mode: abi.RegSW}, wantHost)
	})
}

// wantZero is what a zero-copy monitor answers: the same as a copy monitor, except name and flags.
var wantZero = strings.NewReplacer(
	"/rt#0", "/zrt#0", "flags 0x300", "flags 0x700",
).Replace(wantCopy)

const (
	wantVale = `
register: tx 1x4 rx 1x8 host 0+0 mode 1 flags 0x0 ringid 0 extra 0
if vale0:a: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 0 cur 0 tail 3: b 2048/0 b 2048/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
info: errno 0 tx 1x4 rx 1x8 host 0+0; header: errno 0 0
NIOCGINFO: errno 0 offset 0 tx 1x4 rx 1x8 cmd 0 arg1 0 arg3 0 flags 0
poll in 0x0 out 0x4
txsync: errno 0
if vale0:a: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 1: b 60/2 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
peer rxsync: errno 0
if vale0:b: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 0 cur 0 tail 3: b 2048/0 b 2048/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 2: b 60/100 b 60/100 b 2048/0
peer rxsync: errno 0
if vale0:b: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 0 cur 0 tail 3: b 2048/0 b 2048/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 2 cur 2 tail 2: b 60/100 b 60/100 b 2048/0
txsync: errno 0
if vale0:a: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 1: b 60/2 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
rxsync: errno 0
if vale0:a: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 1: b 60/2 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
poll in 0x0 out 0x4
`
	wantPipe = `
register: tx 1x4 rx 1x8 host 0+0 mode 1 flags 0x0 ringid 0 extra 0
if x{1: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 0 cur 0 tail 3: b 2048/0 b 2048/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
info: errno 0 tx 1x4 rx 1x8 host 0+0; header: errno 0 0
NIOCGINFO: errno 0 offset 0 tx 1x4 rx 1x8 cmd 0 arg1 0 arg3 0 flags 0
poll in 0x0 out 0x4
txsync: errno 0
if x{1: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 3: b 60/2 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
peer rxsync: errno 0
if x}1: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 8 slots of 2048, head 0 cur 0 tail 7: b 2048/0 b 2048/0 b 2048/0
rx0 dir 0, 4 slots of 2048, head 0 cur 0 tail 2: b 60/3 b 60/0 b 2048/0
peer rxsync: errno 0
if x}1: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 8 slots of 2048, head 0 cur 0 tail 7: b 2048/0 b 2048/0 b 2048/0
rx0 dir 0, 4 slots of 2048, head 2 cur 2 tail 2: b 60/2 b 60/0 b 2048/0
txsync: errno 0
if x{1: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 1: b 60/3 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
rxsync: errno 0
if x{1: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 1: b 60/3 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
poll in 0x0 out 0x4
`
	wantNull = `
register: tx 1x4 rx 1x8 host 0+0 mode 7 flags 0x0 ringid 0 extra 0
if null:n: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 0 cur 0 tail 3: b 2048/0 b 2048/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
info: errno 6 tx 0x0 rx 0x0 host 0+0; header: errno 6 0
NIOCGINFO: errno 6 offset 0 tx 0x0 rx 0x0 cmd 0 arg1 0 arg3 0 flags 0
poll in 0x0 out 0x4
txsync: errno 0
if null:n: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 3: b 60/3 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
txsync: errno 0
if null:n: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 3: b 60/3 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
rxsync: errno 0
if null:n: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 3: b 60/3 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
poll in 0x0 out 0x4
`
	wantCopy = `
register: tx 1x4 rx 1x8 host 0+0 mode 1 flags 0x300 ringid 0 extra 0
if vale0:b/rt#0: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 0 cur 0 tail 3: - 2048/0 - 2048/0 - 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
info: errno 0 tx 1x8 rx 1x8 host 0+0; header: errno 0 0
NIOCGINFO: errno 0 offset 0 tx 1x8 rx 1x8 cmd 0 arg1 0 arg3 0 flags 0
poll in 0x0 out 0xc
txsync: errno 0
if vale0:b/rt#0: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 3: - 60/3 - 60/0 - 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
txsync: errno 0
if vale0:b/rt#0: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 3: - 60/3 - 60/0 - 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
rxsync: errno 0
if vale0:b/rt#0: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 3: - 60/3 - 60/0 - 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
poll in 0x8 out 0xc
`
	wantPersistent = `
register: tx 1x4 rx 1x8 host 0+0 mode 1 flags 0x0 ringid 0 extra 0
if v0: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 0 cur 0 tail 3: b 2048/0 b 2048/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
info: errno 0 tx 1x4 rx 1x8 host 0+0; header: errno 0 0
NIOCGINFO: errno 0 offset 0 tx 1x4 rx 1x8 cmd 0 arg1 0 arg3 0 flags 0
poll in 0x0 out 0x4
txsync: errno 0
if v0: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 1: b 60/2 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
txsync: errno 0
if v0: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 1: b 60/2 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
rxsync: errno 0
if v0: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 4 slots of 2048, head 2 cur 2 tail 1: b 60/2 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
poll in 0x0 out 0x4
`
	wantNIC = `
register: tx 1x8 rx 1x8 host 1+1 mode 1 flags 0x0 ringid 0 extra 0
if one: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 8 slots of 2048, head 0 cur 0 tail 7: b 2048/0 b 2048/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: - 0/0 - 0/0 - 0/0
info: errno 0 tx 1x8 rx 1x8 host 1+1; header: errno 0 0
NIOCGINFO: errno 0 offset 0 tx 1x8 rx 1x8 cmd 0 arg1 0 arg3 0 flags 0
poll in 0x0 out 0x4
txsync: errno 0
if one: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 8 slots of 2048, head 2 cur 2 tail 1: b 60/0 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: - 0/0 - 0/0 - 0/0
txsync: errno 0
if one: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 8 slots of 2048, head 2 cur 2 tail 1: b 60/0 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: - 0/0 - 0/0 - 0/0
rxsync: errno 0
if one: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx0 dir 1, 8 slots of 2048, head 2 cur 2 tail 1: b 60/0 b 60/0 b 2048/0
rx0 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: - 0/0 - 0/0 - 0/0
poll in 0x0 out 0x4
`
	wantHost = `
register: tx 1x8 rx 1x8 host 1+1 mode 2 flags 0x0 ringid 0 extra 0
if one: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx1 dir 1, 8 slots of 2048, head 0 cur 0 tail 7: b 2048/0 b 2048/0 b 2048/0
rx1 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
info: errno 0 tx 1x8 rx 1x8 host 1+1; header: errno 0 0
NIOCGINFO: errno 0 offset 0 tx 1x8 rx 1x8 cmd 0 arg1 0 arg3 0 flags 0
poll in 0x0 out 0x4
txsync: errno 0
if one: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx1 dir 1, 8 slots of 2048, head 2 cur 2 tail 1: b 60/0 b 60/0 b 2048/0
rx1 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
txsync: errno 0
if one: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx1 dir 1, 8 slots of 2048, head 2 cur 2 tail 1: b 60/0 b 60/0 b 2048/0
rx1 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
rxsync: errno 0
if one: version 0 flags 0 tx 1 rx 1 host 1+1 bufs 0
tx1 dir 1, 8 slots of 2048, head 2 cur 2 tail 1: b 60/0 b 60/0 b 2048/0
rx1 dir 0, 8 slots of 2048, head 0 cur 0 tail 0: b 2048/0 b 2048/0 b 2048/0
poll in 0x0 out 0x4
`
)
