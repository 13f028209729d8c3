package contest

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Outcome is the result of a comparison: plain data, which is written to a file and read again.
type Outcome struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Metrics []Metric `json:"metrics"`
	Plots   []int    `json:"plots"`
	Floor   string   `json:"floor,omitempty"`
	Rows    []Row    `json:"rows"` // one per contender
}

// Row is what was measured of a contender.
type Row struct {
	Name    string    `json:"name"`
	Ours    bool      `json:"ours,omitempty"`
	Peer    string    `json:"peer,omitempty"`
	Goals   []Goal    `json:"goals,omitempty"`
	Rounds  [][]Value `json:"rounds"`            // for each round, a value per metric
	Missing string    `json:"missing,omitempty"` // why it could not take part
	Failed  string    `json:"failed,omitempty"`  // the error of the last round that failed
}

// Value is a figure, or NaN. JSON has no number for NaN, so it is null there.
type Value float64

// MarshalJSON writes null for NaN.
func (v Value) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(v))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Value) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*v = Value(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(v))
}

func measured(values []float64) []Value {
	all := make([]Value, len(values))
	for i, v := range values {
		all[i] = Value(v)
	}
	return all
}

// Summary sums up several rounds.
type Summary struct{ Median, Min, Max float64 }

// summarize ignores NaN. Without any other value, all three are NaN.
func summarize(values []float64) Summary {
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(values) == 0 {
		return Summary{math.NaN(), math.NaN(), math.NaN()}
	}
	slices.Sort(values)
	n := len(values)
	return Summary{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// None reports whether there was no value.
func (s Summary) None() bool { return math.IsNaN(s.Median) }

// Of summarizes one metric over the rounds.
func (r Row) Of(metric int) Summary {
	var values []float64
	for _, round := range r.Rounds {
		values = append(values, float64(round[metric]))
	}
	return summarize(values)
}

// row finds a row by its name.
func (o Outcome) row(name string) (Row, bool) {
	i := slices.IndexFunc(o.Rows, func(r Row) bool { return r.Name == name })
	if i < 0 {
		return Row{}, false
	}
	return o.Rows[i], true
}

// Against returns the ratio of two rows' medians of the first metric; NaN if a row is missing.
func (o Outcome) Against(r Row, other string) float64 {
	if s, ok := o.row(other); ok {
		return r.Of(0).Median / s.Of(0).Median
	}
	return math.NaN()
}

// Verdict describes a goal and tells whether the row reached it.
func (o Outcome) Verdict(r Row, g Goal) string {
	var value float64
	var unit string
	if g.Of != "" {
		value, unit = o.Against(r, g.Of), "× "+g.Of
	} else {
		m := o.Metrics[g.Metric]
		value, unit = r.Of(g.Metric).Median, m.Unit
		if m.Name != "" {
			unit += " (" + m.Name + ")"
		}
	}
	sign, bound := "≥", g.AtLeast
	if g.AtMost != 0 {
		sign, bound = "≤", g.AtMost
	}
	answer := "missed"
	switch {
	case math.IsNaN(value):
		answer = "unknown"
	case g.AtLeast != 0 && value >= g.AtLeast, g.AtMost != 0 && value <= g.AtMost:
		answer = "met"
	}
	return fmt.Sprintf("%s %s %s: %s", sign, strconv.FormatFloat(bound, 'f', -1, 64), unit, answer)
}

// Verdicts joins the verdicts of all goals of a row.
func (o Outcome) Verdicts(r Row) string {
	var all []string
	for _, g := range r.Goals {
		all = append(all, o.Verdict(r, g))
	}
	return strings.Join(all, "; ")
}

// Number formats a value with the metric's digits.
func (m Metric) Number(v float64) string { return strconv.FormatFloat(v, 'f', m.Digits, 64) }

// Cell returns "median (min … max)".
func (m Metric) Cell(s Summary) string {
	if s.None() {
		return "–"
	}
	return fmt.Sprintf("%s (%s … %s)", m.Number(s.Median), m.Number(s.Min), m.Number(s.Max))
}
