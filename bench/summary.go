package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// summary is what is reported of several rounds.
type summary struct{ median, min, max float64 }

// summarize leaves values out that are none. Without any, all three are NaN.
func summarize(values []float64) summary {
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(values) == 0 {
		return summary{math.NaN(), math.NaN(), math.NaN()}
	}
	slices.Sort(values)
	n := len(values)
	return summary{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

func (s summary) none() bool { return math.IsNaN(s.median) }

// of summarizes one metric over the rounds.
func (r result) of(metric int) summary {
	var values []float64
	for _, round := range r.rounds {
		values = append(values, round[metric])
	}
	return summarize(values)
}

// againstReference is the ratio of a contender's median to the reference's, NaN without one.
func (o outcome) againstReference(contender, metric int) float64 {
	for i, k := range o.contenders {
		if k.name == o.reference {
			return o.results[contender].of(metric).median / o.results[i].of(metric).median
		}
	}
	return math.NaN()
}

// verdict is a goal in words, and whether the contender reached it.
func (o outcome) verdict(contender int, g goal) string {
	value := o.results[contender].of(g.metric).median
	unit := o.metrics[g.metric].unit
	if g.times {
		value, unit = o.againstReference(contender, g.metric), "× "+o.reference
	}
	sign, bound := "≥", g.atLeast
	if g.atMost != 0 {
		sign, bound = "≤", g.atMost
	}
	answer := "missed"
	switch {
	case math.IsNaN(value):
		answer = "unknown"
	case g.atLeast != 0 && value >= g.atLeast, g.atMost != 0 && value <= g.atMost:
		answer = "met"
	}
	return fmt.Sprintf("%s %s %s: %s", sign, strconv.FormatFloat(bound, 'f', -1, 64), unit, answer)
}

func (o outcome) verdicts(contender int) string {
	var all []string
	for _, g := range o.contenders[contender].goals {
		all = append(all, o.verdict(contender, g))
	}
	return strings.Join(all, "; ")
}

// number writes a value with the metric's digits.
func (m metric) number(v float64) string { return strconv.FormatFloat(v, 'f', m.digits, 64) }

// cell is "median (min … max)".
func (m metric) cell(s summary) string {
	if s.none() {
		return "–"
	}
	return fmt.Sprintf("%s (%s … %s)", m.number(s.median), m.number(s.min), m.number(s.max))
}
