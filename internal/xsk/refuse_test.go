//go:build linux

package xsk

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// setMTU changes the MTU of an end of a veth pair.
func (e end) setMTU(t *testing.T, mtu int) {
	t.Helper()
	var err error
	e.ns.Do(func() {
		var l netlink.Link
		if l, err = netlink.LinkByIndex(e.index); err == nil {
			err = netlink.LinkSetMTU(l, mtu)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// post hands frames to the kernel without sending them, as many pieces each as are needed.
func (st *station) post(frames [][]byte) {
	st.t.Helper()
	used := uint32(0)
	for _, f := range frames {
		for more := true; more; used++ {
			b := st.get()
			n := copy(st.buffer(b)[:st.m.MaxTx()], f)
			f = f[n:]
			more = len(f) > 0
			st.s.TxAt(used, b, 0, uint32(n), more)
		}
	}
	st.s.TxCommit(used)
}

// kickAll calls KickTx until nothing is left, without putting refused packets back. It returns
// their lengths.
func (st *station) kickAll() (refused []uint32) {
	st.t.Helper()
	for st.s.TxPending() > 0 {
		no, err := st.s.KickTx()
		if err != nil {
			st.t.Fatal(err)
		}
		if no {
			length, _ := st.s.Refused()
			refused = append(refused, length)
		}
	}
	return refused
}

// mixed returns frames of 60 bytes, with longer ones in the given places.
func mixed(n, long int, at ...int) (list [][]byte) {
	for i := range n {
		length := 60
		if slices.Contains(at, i) {
			length = long
		}
		list = append(list, frame(uint32(i+1), length))
	}
	return list
}

// arrive waits for frames, in their order.
func (st *station) arrive(want [][]byte) {
	st.t.Helper()
	var got [][]byte
	for end := time.Now().Add(5 * time.Second); len(got) < len(want) && time.Now().Before(end); {
		got = append(got, st.receive()...)
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		st.t.Errorf("%d frames arrived, want %d in their order", len(got), len(want))
	}
}

// KickTx reports each refused packet, of one piece or several, and every buffer comes back once.
func TestRefused(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, mode := range []Mode{Native, Generic} {
		ends := newVeth(t, 1)
		at, _ := newStations(t, ends, 1, mode, 2048)
		left, right := at[0][0], at[1][0]
		ends[1].setMTU(t, 1000)
		for _, long := range []int{1019, 1514, 3000, 9000} {
			for _, places := range [][]int{{0}, {5}, {9}, {0, 1, 2}, {3, 5, 7, 9},
				{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}} {
				t.Run(fmt.Sprint(mode, " ", long, " ", places), func(t *testing.T) {
					left.t, right.t = t, t
					all := mixed(10, long, places...)
					left.post(all)
					if got, want := left.kickAll(), slices.Repeat([]uint32{uint32(long)},
						len(places)); !slices.Equal(got, want) {
						t.Errorf("refused %v, want %v", got, want)
					}
					right.arrive(slices.DeleteFunc(all, func(f []byte) bool { return len(f) == long }))
					left.settle(t, half)
				})
			}
		}
	}
}

// A packet that is put back stays in its place, and is sent when the device takes it.
func TestPutBack(t *testing.T) {
	testutil.CheckLeaks(t)
	ends := newVeth(t, 1)
	at, _ := newStations(t, ends, 1, Native, 2048)
	left, right := at[0][0], at[1][0]
	for _, long := range []int{1100, 5000} {
		for _, places := range [][]int{{0}, {5}, {9}, {0, 1, 2}, {3, 5, 7, 9}} {
			t.Run(fmt.Sprint(long, " ", places), func(t *testing.T) {
				left.t, right.t = t, t
				ends[1].setMTU(t, 1000)
				all := mixed(10, long, places...)
				left.post(all)
				for i := range 20 {
					no, err := left.s.KickTx()
					if length, again := left.s.Refused(); err != nil || !no || length != uint32(long) ||
						again != (i > 0) {
						t.Fatalf("kick %d: refused %v, %v; %d bytes, again %v", i, no, err, length, again)
					}
					if !left.s.PutBack() {
						t.Fatalf("kick %d: it is not put back", i)
					}
				}
				ends[1].setMTU(t, 9000)
				if refused := left.kickAll(); len(refused) > 0 {
					t.Errorf("refused %v, want none", refused)
				}
				right.arrive(all)
				left.settle(t, half)
			})
		}
	}
}
