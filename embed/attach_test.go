//go:build linux

package embed_test

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func TestAttach(t *testing.T) {
	testutil.CheckLeaks(t)
	here, there := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, here, "va", there, "vb", 1)
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	attach := func(name string) (err error) {
		here.Do(func() { err = f.Attach(name) })
		return err
	}
	testutil.Require(t, "AF_XDP", attach("vale0:va"))
	if err := attach("vale0:none"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("attach none: %v, want EINVAL", err)
	}
	var far *netmap.Port
	there.Do(func() { far, err = f.Open("netmap:vb") })
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	p := openPort(t, f, "vale0:p")
	p.Tx()[0].Send(everybody("out"))
	p.TxSync()
	far.Tx()[0].Send(everybody("in"))
	far.TxSync()
	for _, p := range []*netmap.Port{p, far} {
		if _, err := p.Poll(t.Context(), netmap.In, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if got := append(texts(far.Rx()[0]), texts(p.Rx()[0])...); len(got) != 2 || got[0] != "out" ||
		got[1] != "in" {
		t.Errorf("received %q", got)
	}
	if err := f.Detach("vale0:va"); err != nil {
		t.Error(err)
	}
	if err := f.Detach("vale0:va"); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("detach again: %v, want ENXIO", err)
	}
}

// Frames longer than a buffer pass a switch to and from an interface.
func TestAttachJumbo(t *testing.T) {
	testutil.CheckLeaks(t)
	here, there := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, here, "va", there, "vb", 1)
	for name, ns := range map[string]*testutil.NS{"va": here, "vb": there} {
		ns.Do(func() {
			link, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkSetMTU(link, 9000)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	here.Do(func() { err = f.Attach("vale0:va") })
	testutil.Require(t, "AF_XDP", err)
	var far *netmap.Port
	there.Do(func() { far, err = f.Open("netmap:vb") })
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	p := openPort(t, f, "vale0:p")
	for lap := range 500 {
		want := everybody(strings.Repeat(string(rune('a'+lap%26)), 9000))
		for _, way := range [][2]*netmap.Port{{p, far}, {far, p}} {
			if way[0].Tx()[0].Send(want) != 1 {
				t.Fatal("no room")
			}
			way[0].TxSync()
			var got []byte
			for end := time.Now().Add(5 * time.Second); len(got) == 0 && time.Now().Before(end); {
				if _, err := way[1].Poll(t.Context(), netmap.In, time.Second); err != nil {
					t.Fatal(err)
				}
				for _, f := range way[1].Rx()[0].Frames() {
					got = append(got, f...)
				}
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("lap %d: %d bytes on %s, want %d", lap, len(got), way[1].Name(), len(want))
			}
		}
	}
	if err := f.Detach("vale0:va"); err != nil {
		t.Error(err)
	}
}
