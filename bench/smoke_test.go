package main

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/ns"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// The helpers that a measurement starts are this program: the test, in a test.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == helperWord {
		exitOn(runHelper(os.Args[2:]))
		return
	}
	os.Exit(m.Run())
}

func testLab(t *testing.T) *lab {
	t.Helper()
	lab, err := newLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.close)
	return lab
}

// measureBriefly runs one round of what matches and wants a first figure above 0 of everybody.
func measureBriefly(t *testing.T, only string) {
	t.Helper()
	lab := testLab(t)
	for _, c := range choose(comparisons(), regexp.MustCompile(only)) {
		o := c.measure(t.Context(), lab, 1, 100*time.Millisecond, t.Output())
		for i, k := range o.contenders {
			if s := o.results[i].of(0); !(s.median > 0) {
				t.Errorf("%s/%s: %v, missing %v, failed %v", c.name, k.name, s, o.results[i].missing, o.results[i].failed)
			}
		}
	}
}

func TestVethMeasurements(t *testing.T) {
	testutil.CheckLeaks(t)
	requireXDP(t)
	measureBriefly(t, "^veth-[tr]x/(netmap|af_packet)$")
}

// requireXDP opens a veth interface as the helpers will.
func requireXDP(t *testing.T) {
	t.Helper()
	w, err := newWire()
	testutil.Require(t, "veth interfaces between network namespaces (root)", err)
	defer w.close()
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = ns.Do(w.left.ns, "the test", func() error {
		_, err := f.Open("netmap:" + w.left.iface)
		return err
	})
	testutil.Require(t, "AF_XDP (root)", err)
}

func TestPingInside(t *testing.T) {
	testutil.CheckLeaks(t)
	measureBriefly(t, "^latency/in one process, spin 20 us$")
}
