//go:build linux

package takeover

import (
	"testing"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
)

var polled = &ethtool.Deferral{HardIRQs: 2, FlushTimeout: 200000}

func (b *testbed) deferral() (d ethtool.Deferral) {
	b.t.Helper()
	var err error
	if b.ns.Do(func() { d, err = ethtool.AskDeferral(b.index) }); err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *testbed) setDeferral(d ethtool.Deferral) {
	b.t.Helper()
	var err error
	if b.ns.Do(func() { err = ethtool.SetDeferral(b.index, d) }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *testbed) wantDeferral(what string, want ethtool.Deferral) {
	b.t.Helper()
	if got := b.deferral(); got != want {
		b.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestDeferral(t *testing.T) {
	for _, before := range []ethtool.Deferral{{}, {HardIRQs: 5, FlushTimeout: 20000}} {
		b := newTestbed(t)
		b.setDeferral(before)
		taken := b.mustTake(Needs{Deferral: polled})
		b.wantDeferral("taken", *polled)
		want := polled.String() + " instead of " + before.String()
		if taken.Changes() != want {
			t.Errorf("changes %q, want %q", taken.Changes(), want)
		}
		b.restore(taken)
		b.wantDeferral("restored", before)
		b.wantNoRecords()
	}
}

// What is as it should be already is no change, and stays.
func TestDeferralThatIsThere(t *testing.T) {
	b := newTestbed(t)
	b.setDeferral(*polled)
	taken := b.mustTake(Needs{Deferral: polled})
	if taken.Changes() != "" {
		t.Errorf("changes %q", taken.Changes())
	}
	b.restore(taken)
	b.wantDeferral("restored", *polled)
}

// A process is killed, in the middle of its changes or later. What somebody else has set since
// stays.
func TestDeferralAfterCrash(t *testing.T) {
	before := ethtool.Deferral{HardIRQs: 1, FlushTimeout: 30000}
	half := ethtool.Deferral{HardIRQs: polled.HardIRQs, FlushTimeout: before.FlushTimeout}
	others := ethtool.Deferral{HardIRQs: 7, FlushTimeout: 7000}
	for _, c := range []struct {
		what      string
		now, want ethtool.Deferral
	}{
		{"changed", *polled, before},
		{"half changed", half, before},
		{"not changed yet", before, before},
		{"changed by somebody else", others, others},
	} {
		b := newTestbed(t)
		b.setDeferral(before)
		kill(b.mustTake(Needs{Deferral: polled}))
		b.setDeferral(c.now)
		pending, err := Pending(b.dir)
		if err != nil || len(pending) != 1 || pending[0].Changes.Undone() != before.String()+" again" {
			t.Errorf("%s: pending %+v, %v", c.what, pending, err)
		}
		b.recover(1)
		b.wantDeferral(c.what, c.want)
		b.wantNoRecords()
	}
}
