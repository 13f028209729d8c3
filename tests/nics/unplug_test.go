//go:build linux

package nics

import (
	"testing"

	"github.com/vishvananda/netlink"
)

// testUnplug pulls a card out of the machine while its port is open, and puts it in again.
func testUnplug(t *testing.T, p *pair) {
	ways := p.lab.ways()
	for i, w := range ways {
		a, b := p.a.open(t, w, ""), p.b.open(t, ways[1-i], "")
		p.ready(t)
		p.exchange(t, a, b, 50)
		if failed := wire.ask(t, "device_del", map[string]any{"id": p.a.id}); failed != "" {
			t.Fatal(failed)
		}
		wantTrouble(t, a)
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		eventually(t, p.a.id+" is gone", func() bool {
			var err error
			p.a.ns.Do(func() { _, err = netlink.LinkByName(p.a.name) })
			return err != nil
		})
		eventually(t, "QEMU has removed the card", func() bool {
			return wire.ask(t, "device_add", p.card.device(0)) == ""
		})
		p.settle(t, &p.a, 0)
		a = p.a.open(t, w, "")
		p.ready(t)
		p.exchange(t, a, b, 100)
		p.exchange(t, b, a, 100)
		a.Close()
		b.Close()
	}
	p.ready(t)
	p.talk(t)
}
