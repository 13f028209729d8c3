//go:build linux

package embed_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

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
	if got := append(texts(far.Rx()[0]), texts(p.Rx()[0])...); len(got) != 2 || got[0] != "out" || got[1] != "in" {
		t.Errorf("received %q", got)
	}
	if err := f.Detach("vale0:va"); err != nil {
		t.Error(err)
	}
	if err := f.Detach("vale0:va"); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("detach again: %v, want ENXIO", err)
	}
}
