package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"time"
)

// comparison is contenders that do the same thing, and what is measured of each.
type comparison struct {
	name       string // for -only
	title      string
	text       string // what is done and how it is counted
	metrics    []metric
	plots      []int // the metrics to draw
	reference  string
	contenders []contender
}

// metric is a figure that every contender gives.
type metric struct {
	name   string
	unit   string
	digits int // after the point
}

// contender is one who takes part.
type contender struct {
	name  string
	ours  bool
	needs []need
	goals []goal
	// run measures once, for about that long, and gives a value for each metric, NaN where it has none.
	run func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error)
}

// goal is what a median ought to be. Times means that the bound is a multiple of the reference's.
type goal struct {
	metric          int
	atLeast, atMost float64 // 0 is no bound
	times           bool
}

func comparisons() []comparison {
	all := frameworkComparisons()
	all = append(all, vethTx(), vethRx(), processPipe(), processVALE(), roundTrip())
	return all
}

// choose keeps the contenders whose full name matches.
func choose(all []comparison, only *regexp.Regexp) (chosen []comparison) {
	for _, c := range all {
		var keep []contender
		for _, k := range c.contenders {
			if only.MatchString(c.name + "/" + k.name) {
				keep = append(keep, k)
			}
		}
		if c.contenders = keep; len(keep) > 0 {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func list(w io.Writer, all []comparison) {
	for _, c := range all {
		for _, k := range c.contenders {
			fmt.Fprintf(w, "%s/%s\n", c.name, k.name)
		}
	}
}

// patience is what a measurement may take beyond its length: processes have to start and to end.
const patience = 20 * time.Second

// outcome is a comparison that was made.
type outcome struct {
	comparison
	results []result // one a contender
}

// result is what was measured of a contender.
type result struct {
	rounds  [][]float64 // a value for each metric
	missing error       // why it could not take part
	failed  error       // what went wrong in the last round that failed
}

// measure lets the contenders run in turns: what disturbs the machine for a while disturbs all of them.
func (c comparison) measure(ctx context.Context, lab *lab, rounds int, length time.Duration, progress io.Writer) outcome {
	o := outcome{c, make([]result, len(c.contenders))}
	for i, k := range c.contenders {
		o.results[i].missing = k.missing()
	}
	for round := range rounds {
		for i, k := range c.contenders {
			r := &o.results[i]
			if r.missing != nil || ctx.Err() != nil {
				continue
			}
			fmt.Fprintf(progress, "%s/%s, round %d of %d\n", c.name, k.name, round+1, rounds)
			values, err := k.once(ctx, lab, length)
			if err != nil {
				fmt.Fprintf(progress, "%s/%s: %v\n", c.name, k.name, err)
				r.failed = err
				continue
			}
			r.rounds = append(r.rounds, values)
		}
	}
	return o
}

func (k contender) once(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, length+patience)
	defer cancel()
	return k.run(ctx, lab, length)
}

func (k contender) missing() error {
	for _, n := range k.needs {
		if err := n(); err != nil {
			return err
		}
	}
	return nil
}
