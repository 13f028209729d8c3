package lab

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// warmUp is the start of a run that is not measured: caches fill, and processors speed up.
const warmUp = 500 * time.Millisecond

// Total parses a line of output for the number of frames that a program has handled so far.
type Total func(text string) (frames float64, ok bool)

// Mark is a second counter, which is read together with the first.
type Mark func() (float64, error)

// Rates returns the frames per second that the program counted, and the growth of the second
// counter per second.
func Rates(ctx context.Context, p *Process, read Total, length time.Duration, second Mark) (frames,
	marks float64, err error) {
	var first, from, to reading
	for {
		r, err := nextReading(ctx, p, read)
		switch {
		case err != nil:
			return 0, 0, err
		case r.frames == 0:
			continue
		case first.at.IsZero():
			first = r
		case r.at.Sub(first.at) < warmUp:
		case from.at.IsZero():
			from = r
			if from.marks, err = second(); err != nil {
				return 0, 0, err
			}
		// a reading that comes a little early is good enough: the next would take longer
		case r.at.Sub(from.at) >= length-length/10:
			to = r
			if to.marks, err = second(); err != nil {
				return 0, 0, err
			}
			if to.frames == from.frames {
				return 0, 0, fmt.Errorf("%s counts no more frames after the first %.0f", p.name(), to.frames)
			}
			seconds := to.at.Sub(from.at).Seconds()
			return (to.frames - from.frames) / seconds, (to.marks - from.marks) / seconds, nil
		}
	}
}

// reading is a value of both counters.
type reading struct {
	at            time.Time
	frames, marks float64
}

func nextReading(ctx context.Context, p *Process, read Total) (reading, error) {
	for {
		l, err := p.Next(ctx)
		if err != nil {
			return reading{}, err
		}
		if n, ok := read(l.Text); ok {
			return reading{at: l.At, frames: n}, nil
		}
	}
}

// Unmarked is the Mark of measurements without a second counter.
func Unmarked() (float64, error) { return 0, nil }

// Growth returns a counter's growth per second while a program runs. Measuring starts when frames
// flow.
func Growth(ctx context.Context, p *Process, count Mark, length time.Duration) (float64, error) {
	const (
		step  = 20 * time.Millisecond
		flows = 1000 // frames
	)
	begin, err := count()
	for now := begin; err == nil && now < begin+flows; now, err = count() {
		if err := p.Sleep(ctx, step); err != nil {
			return 0, err
		}
	}
	if err == nil {
		err = p.Sleep(ctx, warmUp)
	}
	if err != nil {
		return 0, err
	}
	begin, err = count()
	if err != nil {
		return 0, err
	}
	at := time.Now()
	if err := p.Sleep(ctx, length); err != nil {
		return 0, err
	}
	end, err := count()
	return (end - begin) / time.Since(at).Seconds(), err
}

// Mega converts a rate to millions.
func Mega(v float64) float64 { return v / 1e6 }

// Field returns the text of a line between two others.
func Field(line, before, after string) (string, bool) {
	_, rest, ok := strings.Cut(line, before)
	if !ok || after == "" {
		return strings.TrimSpace(rest), ok
	}
	value, _, ok := strings.Cut(rest, after)
	return strings.TrimSpace(value), ok
}
