//go:build linux

package scenario

import (
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
)

// wantSeen syncs a monitor and compares the frames that it shows. "> " precedes frames from tx
// rings.
func (w *world) wantSeen(m *netmap.Port, want ...string) {
	w.Helper()
	var all []string
	w.must(m.RxSync())
	for slot, f := range m.Rx()[0].Frames() {
		text := string(f[14:])
		if slot.Flags&abi.NSTxMon != 0 {
			text = "> " + text
		}
		all = append(all, text)
	}
	w.must(m.RxSync())
	w.wantEqual(m.Name(), all, want)
}

func copyMonitors(w *world) {
	for _, names := range [][2]string{{"vale0:a", "vale0:b"}, {"x{1", "x}1"}} {
		a, b := w.open(names[0], netmap.Slots(64, 64)), w.open(names[1], netmap.Slots(64, 64))
		sent, received, both := w.open(names[0]+"/t"), w.open(names[1]+"/r"), w.open(names[1]+"/rt")
		w.send(a, 0, frame(1, 0, "one"), frame(1, 0, "two"))
		for _, m := range []*netmap.Port{sent, received, both} { // before the receiver looks
			if got := w.poll(m, netmap.In); got != netmap.In {
				w.Errorf("%s: poll returns %v", m.Name(), got)
			}
		}
		w.wantSeen(sent, "> one", "> two")
		w.wantSeen(received, "one", "two")
		w.wantTexts(b, "one", "two")
		w.send(b, 0, frame(2, 0, "three"))
		w.wantSeen(both, "one", "two", "> three")
		w.wantSeen(sent)
		w.wantSeen(received)
		w.wantTexts(a, "three")
	}
}

func zeroCopyMonitors(w *world) {
	for _, names := range [][2]string{{"vale0:a", "vale0:b"}, {"x{1", "x}1"}} {
		a, b := w.open(names[0], netmap.Slots(64, 64)), w.open(names[1], netmap.Slots(64, 64))
		first, second := w.open(names[1]+"/z"), w.open(names[1]+"/z")
		for range 100 {
			w.send(a, 0, frame(1, 0, "hello"))
			w.wantSeen(first)
			w.wantTexts(b, "hello") // which gives the slots back
			w.wantSeen(first, "hello")
			w.wantSeen(second, "hello")
			w.must(a.TxSync())
		}
		before := w.usage().IfFree
		w.must(first.Close())
		w.eventually("the first one is gone", func() bool { return w.usage().IfFree > before })
		w.send(a, 0, frame(1, 0, "and on"))
		w.wantTexts(b, "and on")
		w.wantSeen(second, "and on")
	}
}

// A poll of a monitor wakes for frames, and when the monitor's parent is closed.
func monitorsWake(w *world) {
	a, b := w.open("vale0:a"), w.open("vale0:b")
	for _, name := range []string{"vale0:a/t", "vale0:b/r"} {
		m := w.open(name)
		for range 20 {
			woken := make(chan netmap.Events, 1)
			go func() {
				got, _ := m.Poll(w.Context(), netmap.In, 5*time.Second)
				woken <- got
			}()
			time.Sleep(time.Millisecond)
			w.send(a, 0, frame(1, 0, "x"))
			if got := <-woken; got != netmap.In {
				w.Errorf("%s: poll returns %v", name, got)
			}
			w.texts(m)
			w.texts(b)
		}
	}
	m, mz := w.open("vale0:b/r"), w.open("vale0:b/z")
	woken := make(chan netmap.Events, 2)
	for _, m := range []*netmap.Port{m, mz} {
		go func() {
			got, _ := m.Poll(w.Context(), netmap.In, 5*time.Second)
			woken <- got
		}()
	}
	time.Sleep(5 * time.Millisecond)
	w.must(b.Close())
	for range 2 {
		if got := <-woken; got != netmap.Err {
			w.Errorf("after the port was closed, poll returns %v", got)
		}
	}
}

// Frames that were queued when the monitor's parent was closed can still be read.
func orphanedMonitor(w *world) {
	a, b := w.open("vale0:a"), w.open("vale0:b")
	m := w.open("vale0:b/r")
	w.send(a, 0, frame(1, 0, "last words"))
	w.must(b.Close())
	w.eventually("POLLIN and POLLERR", func() bool {
		got, err := m.Poll(w.Context(), netmap.In, 0)
		w.must(err)
		return got == netmap.In|netmap.Err
	})
	w.wantErrno("sync", m.RxSync(), syscall.EIO)
	var all []string
	for _, f := range m.Rx()[0].Frames() {
		all = append(all, string(f[14:]))
	}
	w.wantEqual("orphan", all, []string{"last words"})
	b = w.open("vale0:b")
	w.send(a, 0, frame(1, 0, "too late"))
	if got := w.poll(m, netmap.In); got != netmap.Err {
		w.Errorf("poll returns %v", got)
	}
	w.wantTexts(b, "too late")
}

func monitorErrors(w *world) {
	for name, want := range map[string]syscall.Errno{
		"vale0:a/r": syscall.EINVAL, "x{1/z": syscall.EINVAL, "nosuchif0/t": syscall.ENXIO,
		"vale0:b^/r": syscall.EINVAL, "vale0:b-1/r": syscall.EINVAL,
	} {
		b := w.open("vale0:b")
		_, err := w.tryOpen(name)
		w.wantErrno(name, err, want)
		w.must(b.Close())
	}
	w.open("vale0:a/x") // exclusive use does not exclude monitors
	m := w.open("vale0:a/rx")
	if got := w.poll(m, netmap.Out); got&netmap.Err == 0 {
		w.Errorf("poll for room to send returns %v", got)
	}
	if r := m.Request(); r.TxRings != 1 || r.RxRings != 1 || r.RxSlots != 1024 {
		w.Errorf("the answer is %+v", r)
	}
}
