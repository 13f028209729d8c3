//go:build linux

package scenario

import (
	"bytes"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// openNIC opens an interface of a network namespace.
func (w *world) openNIC(ns *testutil.NS, name string, options ...netmap.Option) *netmap.Port {
	w.Helper()
	var p *netmap.Port
	var err error
	ns.Do(func() { p, err = w.tryOpen(name, options...) })
	testutil.Require(w, "AF_XDP", err)
	w.Cleanup(func() { p.Close() })
	return p
}

// veth makes a veth pair with that MTU. Each end has a network namespace of its own, va in na and
// vb in nb.
func (w *world) veth(mtu int) (na, nb *testutil.NS) {
	w.Helper()
	na, nb = testutil.NewNS(w), testutil.NewNS(w)
	testutil.Veth(w, na, "va", nb, "vb", 1)
	for name, ns := range map[string]*testutil.NS{"va": na, "vb": nb} {
		ns.Do(func() {
			link, err := netlink.LinkByName(name)
			w.must(err)
			w.must(netlink.LinkSetMTU(link, mtu))
		})
	}
	return na, nb
}

// packets returns the received frames, and joins frames of several slots.
func (w *world) packets(p *netmap.Port) (all [][]byte) {
	w.Helper()
	w.poll(p, netmap.In)
	var whole []byte
	for slot, f := range p.Rx()[0].Frames() {
		if whole = append(whole, f...); slot.Flags&abi.NSMoreFrag == 0 {
			all = append(all, whole)
			whole = nil
		}
	}
	if whole != nil {
		w.Errorf("%s: %d bytes of a frame arrived without its end", p.Name(), len(whole))
	}
	return all
}

// Frames longer than a buffer pass interfaces in several slots, in both directions and mixed with
// short frames.
func nicLongFrames(w *world) {
	na, nb := w.veth(9000)
	a, b := w.openNIC(na, "netmap:va"), w.openNIC(nb, "netmap:vb")
	for round := range 300 { // the rings wrap inside of frames
		for _, way := range [][2]*netmap.Port{{a, b}, {b, a}} {
			sent := [][]byte{
				frame(1, 2, strings.Repeat(string(rune('a'+round%26)), 9000)), // 5 slots
				frame(1, 2, "longer than the shortest frame, and not longer than an MTU of 1500"),
				frame(1, 2, strings.Repeat("0123456789", 300)), // 2 slots
			}
			w.send(way[0], 0, sent...)
			var got [][]byte
			end := time.Now().Add(5 * time.Second)
			for len(got) < len(sent) && time.Now().Before(end) {
				got = append(got, w.packets(way[1])...)
			}
			if len(got) != len(sent) {
				w.Fatalf("round %d: %d frames of %d", round, len(got), len(sent))
			}
			for i := range sent {
				if !bytes.Equal(got[i], sent[i]) {
					w.Fatalf("round %d: frame %d has %d bytes, want %d", round, i, len(got[i]),
						len(sent[i]))
				}
			}
		}
	}
}

// A ring shows the time of the last sync that brought frames. With NR_TIMESTAMP it shows the time
// of the last sync.
func timestamps(w *world) {
	a, b := w.open("x{1"), w.open("x}1")
	r := b.Rx()[0]
	sync := func(how string) {
		if how == "poll" {
			_, err := b.Poll(w.Context(), netmap.In, 0)
			w.must(err)
			return
		}
		w.must(b.RxSync())
	}
	for _, how := range []string{"rxsync", "poll"} {
		sync(how)
		if t := r.Time(); how == "rxsync" && t.Unix() != 0 {
			w.Errorf("%s: no frame has arrived, and the ring's time is %v", how, t)
		}
		before := time.Now().Truncate(time.Microsecond)
		w.send(a, 0, frame(1, 2, how))
		sync(how)
		came := r.Time()
		if came.Before(before) || came.After(time.Now()) {
			w.Errorf("%s: a frame arrived at %v, want a time after %v", how, came, before)
		}
		w.wantTexts(b, how)
		came = r.Time()
		sync(how)
		if t := r.Time(); t != came {
			w.Errorf("%s: after a sync without frames the time is %v, want %v",
				how, t, came)
		}
		r.Timestamp(true)
		time.Sleep(2 * time.Microsecond)
		sync(how)
		if t := r.Time(); !t.After(came) || t.After(time.Now()) {
			w.Errorf("%s: with NR_TIMESTAMP the time of a sync is %v; the one before was at %v",
				how, t, came)
		}
		r.Timestamp(false)
	}
}

// A request for times of frames is refused if the framework has no room for them, and for ports
// that never have any.
func noFrameTimes(w *world) {
	na, _ := w.veth(1500)
	w.openNIC(na, "netmap:va").Close()
	for _, name := range []string{"netmap:va", "vale0:a", "x{1"} {
		na.Do(func() {
			_, err := w.tryOpen(name, netmap.RxTimestamps())
			w.wantErrno(name+" with time stamps", err, syscall.EOPNOTSUPP)
		})
	}
}
