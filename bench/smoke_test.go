package main

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
	"github.com/seed-48afdc40/netmap/bench/internal/helper"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
	"github.com/seed-48afdc40/netmap/bench/internal/rows"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/ns"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// TestMain runs as a helper when a measurement starts one: helpers are this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == lab.HelperWord {
		exitOn(helper.Run(os.Args[2:]))
		return
	}
	os.Exit(m.Run())
}

func testLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// measureBriefly runs one round of the contenders whose names match. The first figure of each must
// be above 0.
func measureBriefly(t *testing.T, only string) {
	t.Helper()
	l := testLab(t)
	for _, c := range contest.Choose(rows.All(), regexp.MustCompile(only)) {
		o := c.Measure(t.Context(), l, 1, 100*time.Millisecond, t.Output())
		for _, r := range o.Rows {
			if s := r.Of(0); !(s.Median > 0) {
				t.Errorf("%s/%s: %v, missing %q, failed %q", c.Name, r.Name, s, r.Missing, r.Failed)
			}
		}
	}
}

func TestVethMeasurements(t *testing.T) {
	testutil.CheckLeaks(t)
	requireXDP(t)
	measureBriefly(t, "^veth-[tr]x/(netmap|af_packet|af_xdp alone)$")
}

// requireXDP opens a veth interface as the helpers do.
func requireXDP(t *testing.T) {
	t.Helper()
	w, err := lab.NewWire()
	testutil.Require(t, "veth interfaces between network namespaces (root)", err)
	defer w.Close()
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = ns.Do(w.Left.NS, "the test", func() error {
		_, err := f.Open("netmap:" + w.Left.Iface)
		return err
	})
	testutil.Require(t, "AF_XDP (root)", err)
}

// The floors need neither root nor two cores.
func TestFloors(t *testing.T) {
	testutil.CheckLeaks(t)
	measureBriefly(t, "^(process-pipe|latency)/wake-ups alone")
}

func TestPingInside(t *testing.T) {
	testutil.CheckLeaks(t)
	measureBriefly(t, "^latency/in one process, spin 20 us$")
}

func TestOptions(t *testing.T) {
	o, err := parseOptions(nil)
	if err != nil || o.out != "doc/performance.md" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parseOptions([]string{"-only", "veth"}); err != nil || o.out != "" {
		t.Errorf("a part of the measurements would overwrite the whole page: %+v, %v", o, err)
	}
	if o, err := parseOptions([]string{"-only", "veth", "-out", "x.md"}); err != nil ||
		o.out != "x.md" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parseOptions([]string{"-only", "embed", "-against", "x.json"}); err != nil ||
		o.rounds != 5 || o.out != "" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range [][]string{{"-rounds", "0"}, {"-against", "x.json", "-rounds", "3"},
		{"-seconds", "0"}, {"-seconds", "NaN"}, {"extra"}} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%q is fine", bad)
		}
	}
}
