package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/seed-48afdc40/netmap/internal/latency"
)

func roundTrip() comparison {
	c := comparison{
		name: "latency", title: "Round trip over a VALE switch",
		text: `One station sends a frame and waits for the answer of the other, one at a time: both sleep in poll, and the daemon has
nothing else to do. "spin" is how long the daemon looks for the next request before it sleeps, and in one process how long a
poll looks for frames. Idle is the daemon's processor time while a client sleeps in poll and nothing happens, over two seconds.`,
		metrics:   []metric{{"p50", "µs", 1}, {"p99", "µs", 1}, {"idle", "% of a core", 1}},
		plots:     []int{0, 1},
		reference: spinName(defaultSpin),
	}
	for _, us := range []int{0, 20, 50, 100} {
		spin := time.Duration(us) * time.Microsecond
		c.contenders = append(c.contenders, contender{name: spinName(spin), ours: true, needs: []need{root}, run: pingOver(spin)})
	}
	for _, us := range []int{0, 20} {
		k := contender{name: fmt.Sprintf("in one process, spin %d us", us), ours: true}
		k.run = pingWithin(time.Duration(us) * time.Microsecond)
		c.contenders = append(c.contenders, k)
	}
	return c
}

// idleTime is how long a daemon is watched that has nothing to do.
const idleTime = 2 * time.Second

// pingOver measures a daemon at rest and two processes that use it.
func pingOver(spin time.Duration) func(context.Context, *lab, time.Duration) ([]float64, error) {
	return func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
		d, err := lab.serve(ctx, spin)
		if err != nil {
			return nil, err
		}
		defer d.stop()
		other, err := start(lab.helper("pong", d.node, "vale0:b"))
		if err != nil {
			return nil, err
		}
		defer other.stop()
		if _, err := other.await(ctx, readyLine); err != nil {
			return nil, err
		}
		idle, err := d.idle(ctx)
		if err != nil {
			return nil, err
		}
		return pingResult(ctx, idle, lab.helper("ping", d.node, "vale0:a", inMilliseconds(length)))
	}
}

// idle is the share of a core that the daemon uses, in per cent.
func (d *daemon) idle(ctx context.Context) (float64, error) {
	before, err := d.cpuTime()
	if err != nil {
		return 0, err
	}
	if err := d.sleep(ctx, idleTime); err != nil {
		return 0, err
	}
	after, err := d.cpuTime()
	return 100 * float64(after-before) / float64(idleTime), err
}

func pingWithin(spin time.Duration) func(context.Context, *lab, time.Duration) ([]float64, error) {
	return func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
		return pingResult(ctx, math.NaN(), lab.helper("ping-inside", spin.String(), inMilliseconds(length)))
	}
}

func inMilliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// pingResult runs a helper that pings.
func pingResult(ctx context.Context, idle float64, argv []string) ([]float64, error) {
	p, err := start(argv)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	l, err := p.await(ctx, pingLine)
	if err != nil {
		return nil, err
	}
	d, err := parsePing(l.text)
	return []float64{microseconds(d.P50), microseconds(d.P99), idle}, checkPing(d, err)
}

func checkPing(d latency.Distribution, err error) error {
	if err == nil && d.Count == 0 {
		return fmt.Errorf("no frame came back in time")
	}
	return err
}

func microseconds(ns int64) float64 { return float64(ns) / 1000 }
