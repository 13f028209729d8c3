package contest

import (
	"fmt"
	"math"
)

// Tolerance is the relative change of a ratio to a floor at which its code counts as slower. Two
// runs of the same program on a quiet machine differ by less.
const Tolerance = 0.10

// EnoughRounds is the least number of rounds whose medians are compared.
const EnoughRounds = 5

// ToFloor is a row's ratio to its floor, with the name of the metric.
type ToFloor struct {
	Name  string
	Value float64
	less  bool // less is better
}

// ToFloor returns the ratios of a row to floors of the same run: its own floor, and the
// comparison's. It returns no ratio for a floor.
func (o Outcome) ToFloor(r Row) (all []ToFloor) {
	for i, m := range o.Metrics {
		if m.Unit == FloorUnit {
			all = append(all, ToFloor{m.Name, r.Of(i).Median, m.Less})
		}
	}
	if o.Floor != "" && o.Floor != r.Name {
		all = append(all, ToFloor{o.Metrics[0].Name, o.Against(r, o.Floor), o.Metrics[0].Less})
	}
	return all
}

// Change is a ratio to a floor before and now.
type Change struct {
	Name        string // of the comparison, the row and the metric
	Before, Now float64
	Slower      bool
}

func (c Change) String() string {
	s := "ok"
	if c.Slower {
		s = "slower"
	}
	return fmt.Sprintf("%-60s %7.2f %7.2f  %s", c.Name, c.Before, c.Now, s)
}

// Compare finds our rows that were measured both times, and reports the rows that have become
// slower. A row also counts as slower if it had a figure before and has none now.
func Compare(before, now []Outcome) (all []Change) {
	for _, o := range now {
		for _, old := range before {
			if old.Name == o.Name {
				all = append(all, o.since(old)...)
			}
		}
	}
	return all
}

func (o Outcome) since(old Outcome) (all []Change) {
	for _, r := range o.Rows {
		was, ok := old.row(r.Name)
		if !ok || !r.Ours {
			continue
		}
		now := o.ToFloor(r)
		for _, b := range old.ToFloor(was) {
			for _, n := range now {
				if n.Name == b.Name && !math.IsNaN(b.Value) {
					all = append(all, Change{o.Name + "/" + r.Name + ", " + n.Name, b.Value, n.Value,
						!n.keeps(b.Value)})
				}
			}
		}
	}
	return all
}

// keeps reports whether the ratio is no worse than before, within the tolerance. NaN is worse.
func (f ToFloor) keeps(before float64) bool {
	if f.less {
		return f.Value <= before*(1+Tolerance)
	}
	return f.Value >= before*(1-Tolerance)
}
