//go:build linux

package netmap_test

import (
	"bytes"
	"errors"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/packet"
	"github.com/seed-48afdc40/netmap/source"
)

func dropsOf(t *testing.T, p *netmap.Port) netmap.Drops {
	t.Helper()
	d, err := p.Drops(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDrops tests that a frame without room is counted at the receiver, whatever layer asks. For a
// monitor, it is counted at the monitor that was too slow, not at another one of the same port.
func TestDrops(t *testing.T) {
	f, err := embed.New(embed.Config{Buffers: 4096, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	open := func(name string, options ...netmap.Option) *netmap.Port {
		p, err := f.Open(name, options...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	tx, rx := open("vale0:a@conf:slots=64"), open("vale0:b@conf:slots=64")
	small, large := open("vale0:a/t@conf:slots=16"), open("vale0:a/t@conf:slots=256")
	loop := open("vale0:c@conf:slots=64", netmap.SyncLoop())
	broadcast := append(bytes.Repeat([]byte{0xff}, 6), make([]byte, 54)...)
	const rounds = 3
	for range rounds {
		for range 60 {
			tx.Tx()[0].Send(broadcast)
		}
		tx.TxSync()
	}
	sent := uint64(rounds * 60)
	if d := dropsOf(t, rx); d.Rx["no-room"] != sent-63 || len(d.Tx) > 0 {
		t.Errorf("the receiver: %v, want %d without room", d, sent-63)
	}
	if d := dropsOf(t, loop); d.Rx["no-room"] == 0 {
		t.Errorf("a port with a loop: %v", d)
	}
	if d := dropsOf(t, small); d.Rx["no-room"] != sent-15 {
		t.Errorf("a small monitor: %v, want %d", d, sent-15)
	}
	if d := dropsOf(t, large); len(d.Rx) > 0 {
		t.Errorf("a large monitor: %v", d)
	}
	if d := dropsOf(t, tx); len(d.Rx) > 0 {
		t.Errorf("the sender: %v", d)
	}
	tx.Tx()[0].Send(make([]byte, 3))
	tx.TxSync()
	if d := dropsOf(t, tx); d.Tx["too-short"] != 1 {
		t.Errorf("the sender of a short frame: %v", d)
	}
	link := packet.New(rx)
	h := source.New(t.Context(), link)
	if d, err := h.Drops(); err != nil || d.Rx["no-room"] != sent-63 {
		t.Errorf("a source: %v, %v", d, err)
	}
	h.Close()
	if _, err := link.Drops(t.Context()); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("a closed link: %v, want ENXIO", err)
	}
}
