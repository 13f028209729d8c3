//go:build linux

package nic_test

import (
	"testing"

	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func TestPort(t *testing.T) {
	kringtest.TestPort(t, []uint32{16}, func(t testing.TB, slots uint32) kringtest.Net {
		region := kringtest.NewRegionOf(t, mem.Pool{Num: 1024, Size: 2048})
		na, nb := testutil.NewNS(t), testutil.NewNS(t)
		testutil.Veth(t, na, "va", nb, "vb", 2)
		open := func(ns *testutil.NS, name string) (p *nic.Port) {
			var err error
			c := nic.Config{Slots: slots, StateDir: t.TempDir()}
			ns.Do(func() { p, err = nic.Open(region, name, c) })
			testutil.Require(t, "AF_XDP", err)
			return p
		}
		a, b := open(na, "va"), open(nb, "vb")
		return kringtest.Net{Region: region, Port: a, From: b, To: b, Lossy: true, Again: nic.WillBeFree}
	})
}
