package engine_test

import (
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/session"
)

// sharer is a program that shares one ring with others, in any layout.
type sharer interface {
	sync(t *testing.T)                      // of the tx and the rx ring
	poll(events int16) (ready int16)        //
	read(n int) []string                    // up to n frames, without a sync
	write(t *testing.T, texts []string) int // as many as there is room for, without a sync
}

// newcomer is a sharer with today's rings.
type newcomer struct{ *program }

func (p newcomer) sync(t *testing.T) {
	t.Helper()
	wantErrno(t, "TxSync", p.TxSync(), 0)
	wantErrno(t, "RxSync", p.RxSync(), 0)
}

func (p newcomer) poll(events int16) int16 { return p.Poll(events) }

func (p newcomer) read(n int) (texts []string) {
	r := p.rx[0]
	for head := r.Head.Load(); n > 0 && head != r.Tail.Load(); n-- {
		s := r.slots[head].Word()
		texts = append(texts, string(r.buf(s.BufIdx())[:s.Len()]))
		head = (head + 1) % r.NumSlots
		r.move(head)
	}
	return texts
}

func (p newcomer) write(t *testing.T, texts []string) int {
	r := p.tx[0]
	for i, text := range texts {
		if r.Head.Load() == r.Tail.Load() {
			return i
		}
		r.put(t, text)
	}
	return len(texts)
}

// veteran is a sharer with rings that have avail.
type veteran struct{ *oldProgram }

func (p veteran) sync(t *testing.T) {
	t.Helper()
	wantErrno(t, "TxSync", p.TxSync(), 0)
	wantErrno(t, "RxSync", p.RxSync(), 0)
}

func (p veteran) poll(events int16) int16 { return p.Poll(events) }

func (p veteran) read(n int) (texts []string) {
	for ; n > 0 && p.rx[0].avail() > 0; n-- {
		texts = append(texts, p.rx[0].take())
	}
	return texts
}

func (p veteran) write(t *testing.T, texts []string) int {
	for i, text := range texts {
		if p.tx[0].avail() == 0 {
			return i
		}
		p.tx[0].put(text)
	}
	return len(texts)
}

// share opens a port as a program of that API, "" for today's.
func share(t *testing.T, e *engine.Engine, api, name string, slots uint32) sharer {
	t.Helper()
	if api == "" {
		return newcomer{open(t, e, name, request(slots))}
	}
	return veteran{openOld(t, e, api, name, request(slots))}
}

// crews are groups of programs that share a ring: with today's layout and an old one, with two old
// ones, with many.
var crews = [][]string{{"", "A3"}, {"", "A0"}, {"", "A4b"}, {"A0", "A3"}, {"A0p", "A0"},
	{"A2p", "A5"}, {"A3", "A4b"}, {"", "A0", "A3", "A5"}, {"", ""}}

func eachCrew(t *testing.T, name string,
	f func(t *testing.T, rnd *rand.Rand, crew []sharer, peer newcomer)) {
	for i, apis := range crews {
		what := ""
		for _, api := range apis {
			what += "," + map[bool]string{true: "today", false: api}[api == ""]
		}
		t.Run(what[1:], func(t *testing.T) {
			e := newRoomy(t)
			var crew []sharer
			for _, api := range apis {
				crew = append(crew, share(t, e, api, name+"{1", 8))
			}
			f(t, rand.New(rand.NewPCG(uint64(i), 12)), crew, newcomer{open(t, e, name+"}1", request(8))})
		})
	}
}

// Programs of any layouts take turns, and begin each turn with a sync or poll. They get each frame
// once, whether or not they end the turn with another sync.
func TestSharedRxRing(t *testing.T) {
	eachCrew(t, "x", func(t *testing.T, rnd *rand.Rand, crew []sharer, peer newcomer) {
		sent, got := 0, 0
		for range 3000 {
			var texts []string
			for i := range rnd.IntN(6) {
				texts = append(texts, strconv.Itoa(sent+i))
			}
			sent += peer.write(t, texts)
			peer.sync(t)
			p := crew[rnd.IntN(len(crew))]
			if rnd.IntN(2) == 0 {
				p.sync(t)
			} else if ready := p.poll(session.PollIn); ready&session.PollErr != 0 {
				t.Fatalf("after %d frames poll says %#x", got, ready)
			}
			for _, text := range p.read(rnd.IntN(9)) {
				if text != strconv.Itoa(got) {
					t.Fatalf("frame %q, want %d", text, got)
				}
				got++
			}
			if rnd.IntN(3) == 0 {
				p.sync(t)
			}
		}
		if got < 1000 {
			t.Errorf("only %d of %d frames", got, sent)
		}
	})
}

// Programs that take turns on a tx ring lose no frame and send none twice.
func TestSharedTxRing(t *testing.T) {
	eachCrew(t, "x", func(t *testing.T, rnd *rand.Rand, crew []sharer, peer newcomer) {
		sent, got := 0, 0
		for range 3000 {
			p := crew[rnd.IntN(len(crew))]
			if rnd.IntN(2) == 0 {
				p.sync(t)
			} else if ready := p.poll(session.PollOut); ready&session.PollErr != 0 {
				t.Fatalf("after %d frames poll says %#x", sent, ready)
			}
			var texts []string
			for i := range rnd.IntN(6) {
				texts = append(texts, strconv.Itoa(sent+i))
			}
			sent += p.write(t, texts)
			if rnd.IntN(3) == 0 {
				p.sync(t)
			}
			peer.sync(t)
			for _, text := range peer.read(rnd.IntN(9)) {
				if text != strconv.Itoa(got) {
					t.Fatalf("frame %q, want %d", text, got)
				}
				got++
			}
			peer.sync(t)
		}
		if got < 1000 {
			t.Errorf("only %d of %d frames", got, sent)
		}
	})
}

// Programs that do not coordinate at all may miss frames, but get no frame twice, and no error.
func TestCarelessSharersSeeNoFrameTwice(t *testing.T) {
	eachCrew(t, "x", func(t *testing.T, rnd *rand.Rand, crew []sharer, peer newcomer) {
		sent, last := 0, make([]int, len(crew))
		for range 5000 {
			var texts []string
			for i := range rnd.IntN(4) {
				texts = append(texts, strconv.Itoa(sent+i+1))
			}
			sent += peer.write(t, texts)
			peer.sync(t)
			i := rnd.IntN(len(crew))
			p := crew[i]
			_, old := p.(veteran)
			switch rnd.IntN(3) {
			case 0:
				if ready := p.poll(session.PollIn | session.PollOut); ready&session.PollErr != 0 {
					t.Fatalf("after %d frames poll says %#x", last[i], ready)
				}
			case 1:
				p.sync(t)
			default:
				if old { // whose ring says what was its when it last asked
					continue
				}
			}
			for _, text := range p.read(rnd.IntN(4)) {
				n, err := strconv.Atoi(text)
				if err != nil || n <= last[i] {
					t.Fatalf("program %d has frame %q after %d", i, text, last[i])
				}
				last[i] = n
			}
		}
		for i, n := range last {
			if n < 1000 {
				t.Errorf("program %d: the last frame is %d of %d", i, n, sent)
			}
		}
	})
}

// What a program has written to its ring and not yet synced is there after the sync of another.
func TestOthersSyncsKeepUnsyncedWords(t *testing.T) {
	e := newRoomy(t)
	today, old := open(t, e, "x{1", request(8)), openOld(t, e, "A3", "x{1", request(8))
	peer := open(t, e, "x}1", request(8))
	for range 3 {
		peer.tx[0].put(t, "x")
	}
	wantErrno(t, "TxSync", peer.TxSync(), 0)
	wantErrno(t, "RxSync", today.RxSync(), 0)
	wantErrno(t, "old RxSync", old.RxSync(), 0)
	r := today.rx[0]
	r.Flags.Store(abi.NRTimestamp)
	r.move(2)
	wantErrno(t, "old RxSync", old.RxSync(), 0)
	if r.Head.Load() != 2 || r.Cur.Load() != 2 || r.Flags.Load() != abi.NRTimestamp {
		t.Errorf("head %d, cur %d, flags %#x", r.Head.Load(), r.Cur.Load(), r.Flags.Load())
	}
	old.rx[0].want(t, "the old ring", 2, 1)
	wantErrno(t, "TxSync", peer.TxSync(), 0)
	if free := (peer.tx[0].Tail.Load() + 8 - peer.tx[0].Head.Load()) % 8; free != 6 {
		t.Errorf("the sender has %d slots, want 6", free)
	}
	r.Head.Store(5) // nonsense
	old.rx[0].take()
	wantErrno(t, "old RxSync", old.RxSync(), 0)
	old.rx[0].want(t, "the old ring", 3, 0)
	if got := today.Poll(session.PollIn); got&session.PollErr == 0 || r.Head.Load() != 3 {
		t.Errorf("nonsense: poll says %#x, head %d", got, r.Head.Load())
	}
}

// Buffers that one program exchanges stay where it put them, even if another program shares the
// slot.
func TestSharedRingKeepsExchangedBuffers(t *testing.T) {
	e := newRoomy(t)
	today, old := open(t, e, "vale0:a", request(8, extra(2))),
		openOld(t, e, "A3", "vale0:a", request(8))
	other := openOld(t, e, "A5", "vale0:a", request(8))
	tx := today.tx[0]
	spare := today.nifp.BufsHead.Load()
	mine := tx.slots[0].Word().BufIdx()
	next := le.Uint32(tx.buf(spare))
	tx.slots[0].SetWord(abi.MakeSlotWord(spare, 60, abi.NSBufChanged))
	today.nifp.BufsHead.Store(mine)
	le.PutUint32(tx.buf(mine), next)
	tx.move(1)
	for _, p := range []*oldProgram{old, other} {
		p.tx[0].next(1)
		wantErrno(t, "TxSync", p.TxSync(), 0)
	}
	other.Close()
	old.Close()
	if got := tx.slots[0].Word().BufIdx(); got != spare {
		t.Errorf("buffer %d, want %d", got, spare)
	}
	today.Close()
}

// A ring in CSB mode is used by one program alone: no program of any API can open it.
func TestNobodySharesWithALoop(t *testing.T) {
	e := newRoomy(t)
	b := open(t, e, "vale0:a", request(8, flags(abi.NRExclusive)))
	wantErrno(t, "EnableCSB", b.EnableCSB(func([]session.RingState) error { return nil }), 0)
	for _, api := range append([]string{"A10"}, withAvail...) {
		_, err := e.RegisterWith("vale0:a", request(8), engine.Options{API: apiOf(api)})
		wantErrno(t, api, err, syscall.EBUSY)
	}
}
