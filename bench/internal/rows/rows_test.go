package rows

import (
	"regexp"
	"slices"
	"testing"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
)

// The flag -only finds every contender by its full name. Names are unique, because files and ratios
// use them.
func TestNames(t *testing.T) {
	var all []string
	for _, c := range All() {
		if c.Title == "" || c.Text == "" || len(c.Metrics) == 0 {
			t.Errorf("%s lacks a title, a text or metrics", c.Name)
		}
		for _, k := range c.Contenders {
			name := c.Name + "/" + k.Name
			if slices.Contains(all, name) {
				t.Errorf("%s is there twice", name)
			}
			all = append(all, name)
			chosen := contest.Choose(All(), regexp.MustCompile("^"+regexp.QuoteMeta(name)+"$"))
			if len(chosen) != 1 {
				t.Fatalf("-only %s chooses %v", name, chosen)
			}
			for _, other := range chosen[0].Contenders {
				if other.Name != k.Name && other.Name != c.Floor {
					t.Errorf("-only %s also chooses %s", name, other.Name)
				}
			}
		}
	}
}

// Floors, peers and targets name contenders of the same comparison. Targets are ratios, or cycles.
func TestContendersThatAreNamedExist(t *testing.T) {
	for _, c := range All() {
		var names []string
		for _, k := range c.Contenders {
			names = append(names, k.Name)
		}
		for _, k := range c.Contenders {
			others := []string{c.Floor, c.Peer, k.Peer}
			for _, g := range k.Goals {
				if others = append(others, g.Of); g.Of == "" && !isRatio(c.Metrics[g.Metric]) {
					t.Errorf("%s/%s has an absolute target, which is another machine's", c.Name, k.Name)
				}
			}
			for _, o := range others {
				if o != "" && !slices.Contains(names, o) {
					t.Errorf("%s/%s is compared with %q, which does not take part", c.Name, k.Name, o)
				}
			}
		}
	}
}

func isRatio(m contest.Metric) bool {
	return slices.Contains([]string{contest.FloorUnit, cyclesUnit, coreCyclesUnit}, m.Unit)
}
