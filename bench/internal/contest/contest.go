// Package contest measures contenders in turns, and compares them.
package contest

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/seed-48afdc40/netmap/bench/internal/lab"
)

// Comparison is a set of contenders that do the same work, and the metrics measured of each.
type Comparison struct {
	Name       string // for -only
	Title      string
	Text       string // what the contenders do, and how it is counted
	Metrics    []Metric
	Plots      []int  // the metrics to draw
	Floor      string // the contender that does only what has to be done; "" if none does
	Peer       string // compared with each contender that does not name its own peer
	Contenders []Contender
}

// Metric is a figure measured of every contender. Contenders are compared by their first metric.
type Metric struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Digits int    `json:"digits"` // after the point
	Less   bool   `json:"less"`   // less is better
}

// FloorUnit is the unit of a metric that is a ratio to a floor measured in the same run.
const FloorUnit = "× floor"

// Contender is a program that takes part in a comparison.
type Contender struct {
	Name  string
	Ours  bool
	Peer  string // replaces the comparison's peer; "" for that one
	Needs []lab.Need
	Goals []Goal
	Run   Measurement
}

// Measurement measures once, for about the given length. It returns one value per metric, NaN for a
// metric without a value.
type Measurement func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error)

// Goal is the target for a ratio. The ratio is the contender's first metric to that of another
// contender, or a metric that is itself a ratio.
type Goal struct {
	Of              string  // the other contender; "" for a metric that is a ratio
	Metric          int     // the metric, if Of is ""
	AtLeast, AtMost float64 // 0 for no bound
}

// Choose returns the contenders whose full name matches, and their floors.
func Choose(all []Comparison, only *regexp.Regexp) (chosen []Comparison) {
	for _, c := range all {
		var names []string
		for _, k := range c.Contenders {
			if only.MatchString(c.Name + "/" + k.Name) {
				names = append(names, k.Name, c.Floor)
			}
		}
		c.Contenders = slices.DeleteFunc(slices.Clone(c.Contenders),
			func(k Contender) bool { return !slices.Contains(names, k.Name) })
		if len(c.Contenders) > 0 {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func (c Comparison) peerOf(k Contender) string {
	if k.Peer != "" {
		return k.Peer
	}
	return c.Peer
}

// List writes the full names.
func List(w io.Writer, all []Comparison) {
	for _, c := range all {
		for _, k := range c.Contenders {
			fmt.Fprintf(w, "%s/%s\n", c.Name, k.Name)
		}
	}
}

// Measure runs the contenders in turns, so that a disturbance of the machine affects all of them.
func (c Comparison) Measure(ctx context.Context, l *lab.Lab, rounds int, length time.Duration,
	progress io.Writer) Outcome {
	o := c.blank()
	for round := range rounds {
		for i, k := range c.Contenders {
			r := &o.Rows[i]
			if r.Missing != "" || ctx.Err() != nil {
				continue
			}
			fmt.Fprintf(progress, "%s/%s, round %d of %d\n", c.Name, k.Name, round+1, rounds)
			values, err := k.once(ctx, l, length)
			if err != nil {
				fmt.Fprintf(progress, "%s/%s: %v\n", c.Name, k.Name, err)
				r.Failed = err.Error()
				continue
			}
			r.Rounds = append(r.Rounds, measured(values))
		}
	}
	return o
}

// blank is an outcome before the first round.
func (c Comparison) blank() Outcome {
	o := Outcome{Name: c.Name, Title: c.Title, Metrics: c.Metrics, Plots: c.Plots, Floor: c.Floor}
	for _, k := range c.Contenders {
		r := Row{Name: k.Name, Ours: k.Ours, Peer: c.peerOf(k), Goals: k.Goals}
		if err := k.missing(); err != nil {
			r.Missing = err.Error()
		}
		o.Rows = append(o.Rows, r)
	}
	return o
}

func (k Contender) once(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, length+lab.Patience)
	defer cancel()
	return k.Run(ctx, l, length)
}

func (k Contender) missing() error {
	for _, n := range k.Needs {
		if err := n(); err != nil {
			return err
		}
	}
	return nil
}
