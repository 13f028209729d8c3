package contest

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestSummaries(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		values []float64
		want   Summary
	}{
		{[]float64{3, 1, 2}, Summary{2, 1, 3}},
		{[]float64{4, 1, 2, 3}, Summary{2.5, 1, 4}},
		{[]float64{nan, 5}, Summary{5, 5, 5}},
	}
	for _, tt := range tests {
		if got := summarize(tt.values); got != tt.want {
			t.Errorf("summarize(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
	for _, none := range [][]float64{nil, {nan}} {
		if got := summarize(none); !got.None() {
			t.Errorf("summarize(%v) = %v, want none", none, got)
		}
	}
}

// race is an outcome in which "ours" is half as fast as its floor.
func race(speed ...Value) Outcome {
	o := Outcome{
		Name: "race", Floor: "bare", Metrics: []Metric{{Name: "speed", Unit: "Mpps"},
			{Name: "cost", Unit: FloorUnit, Less: true}},
		Rows: []Row{{Name: "ours", Ours: true}, {Name: "peer", Rounds: [][]Value{{5, 9}}},
			{Name: "bare", Ours: true, Rounds: [][]Value{{20, 1}}}},
	}
	for _, s := range speed {
		o.Rows[0].Rounds = append(o.Rows[0].Rounds, []Value{s, 20 / s})
	}
	return o
}

func TestVerdicts(t *testing.T) {
	o := race(8, 10, 12)
	for want, g := range map[string]Goal{
		"≥ 1.8 × peer: met":            {Of: "peer", AtLeast: 1.8},
		"≥ 2.1 × peer: missed":         {Of: "peer", AtLeast: 2.1},
		"≤ 2 × floor (cost): met":      {Metric: 1, AtMost: 2},
		"≤ 1.9 × floor (cost): missed": {Metric: 1, AtMost: 1.9},
		"≥ 1 × nobody: unknown":        {Of: "nobody", AtLeast: 1},
	} {
		if got := o.Verdict(o.Rows[0], g); got != want {
			t.Errorf("verdict %q, want %q", got, want)
		}
	}
}

func TestOutcomesSurviveAFile(t *testing.T) {
	o := race(10)
	o.Rows[1].Rounds[0][1] = Value(math.NaN())
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var back Outcome
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(text) {
		t.Errorf("%v, became\n%s\nwas\n%s", err, again, text)
	}
	if !back.Rows[1].Of(1).None() {
		t.Error("no value became one")
	}
}

func TestSlower(t *testing.T) {
	before := []Outcome{race(10)}
	for _, tt := range []struct {
		now    Outcome
		slower string // the metrics that are slower
	}{
		{race(10), ""},
		{race(9.2), ""},
		{race(30), ""},
		{race(8.8), "cost speed"},
		{race(1, 10, 10), ""},
		{race(), "cost speed"}, // it failed
	} {
		var slower []string
		changes := Compare(before, []Outcome{tt.now})
		for _, c := range changes {
			if c.Slower {
				_, metric, _ := strings.Cut(c.Name, ", ")
				slower = append(slower, metric)
			}
		}
		if got := strings.Join(slower, " "); got != tt.slower {
			t.Errorf("%v is slower in %q, want %q: %v", tt.now.Rows[0].Rounds, got, tt.slower, changes)
		}
	}
	if got := Compare(before, []Outcome{{Name: "another"}}); len(got) != 0 {
		t.Errorf("comparisons of different names were compared: %v", got)
	}
}

// If floor and product are slower by the same factor, the product has not become slower.
func TestSlowerFloor(t *testing.T) {
	now := race(5)
	now.Rows[2].Rounds[0][0] = 10
	now.Rows[0].Rounds[0][1] = 2
	for _, c := range Compare([]Outcome{race(10)}, []Outcome{now}) {
		if c.Slower {
			t.Error(c)
		}
	}
}
