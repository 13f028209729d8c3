package rows

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
	"github.com/seed-48afdc40/netmap/bench/internal/helper"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

const roundTripText = `One station sends a frame and waits for the other's answer, one at a time.
Both sleep in poll, and the daemon has nothing else to do. "spin" is how long the daemon looks for
the next request before it sleeps; in one process, it is how long a poll looks for frames. The floor
is two processes that wake each other by a futex: on one core, and on the cores that the scheduler
chooses. "idle" is the daemon's processor time in a second without traffic, while a client sleeps in
poll.`

func roundTrip() contest.Comparison {
	c := contest.Comparison{
		Name: "latency", Title: "Round trip over a VALE switch",
		Text: roundTripText,
		Metrics: []contest.Metric{{Name: "p50", Unit: "µs", Digits: 1, Less: true},
			{Name: "p99", Unit: "µs", Digits: 1, Less: true},
			{Name: "idle", Unit: "% of a core", Digits: 1, Less: true}},
		Plots: []int{0, 1},
		Floor: wakeName,
	}
	for _, spin := range []spin{byDefault, 0, 20, 100} {
		c.Contenders = append(c.Contenders,
			contest.Contender{Name: spin.String(), Ours: true, Needs: []lab.Need{lab.Root},
				Run: pingOver(spin)})
	}
	for _, us := range []int{0, 20} {
		k := contest.Contender{Name: fmt.Sprintf("in one process, spin %d us", us), Ours: true}
		k.Run = pingWithin(time.Duration(us) * time.Microsecond)
		c.Contenders = append(c.Contenders, k)
	}
	c.Contenders = append(c.Contenders,
		contest.Contender{Name: wakeName, Run: bestCore(pingAlone, true)},
		contest.Contender{Name: wakeFreeName, Run: pingAlone(anyCore)})
	return c
}

// idleTime is how long an idle daemon is observed.
const idleTime = time.Second

// pingOver measures an idle daemon, and then two processes that use it.
func pingOver(spin spin) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		d, err := l.Serve(ctx, spin.flags()...)
		if err != nil {
			return nil, err
		}
		defer d.Stop()
		other, err := lab.Start(l.Helper("pong", d.Node, "vale0:b"))
		if err != nil {
			return nil, err
		}
		defer other.Stop()
		if _, err := other.Await(ctx, helper.ReadyLine); err != nil {
			return nil, err
		}
		idle, err := idleShare(ctx, d)
		if err != nil {
			return nil, err
		}
		return pingResult(ctx, idle, l.Helper("ping", d.Node, "vale0:a", inMilliseconds(length)))
	}
}

// idleShare returns the share of a core that the daemon uses, in per cent.
func idleShare(ctx context.Context, d *lab.Daemon) (float64, error) {
	before, err := d.CPUTime()
	if err != nil {
		return 0, err
	}
	if err := d.Sleep(ctx, idleTime); err != nil {
		return 0, err
	}
	after, err := d.CPUTime()
	return 100 * float64(after-before) / float64(idleTime), err
}

func pingWithin(spin time.Duration) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		return pingResult(ctx, math.NaN(), l.Helper("ping-inside", spin.String(), inMilliseconds(length)))
	}
}

// pingAlone measures two processes that only wake each other.
func pingAlone(core int) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		receiver, sender, err := startBaton(ctx, l, core, "wake-ping", inMilliseconds(length))
		if err != nil {
			return nil, err
		}
		defer receiver.Stop()
		defer sender.Stop()
		return awaitPing(ctx, sender, math.NaN())
	}
}

func inMilliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// pingResult runs a helper that pings.
func pingResult(ctx context.Context, idle float64, argv []string) ([]float64, error) {
	p, err := lab.Start(argv)
	if err != nil {
		return nil, err
	}
	defer p.Stop()
	return awaitPing(ctx, p, idle)
}

func awaitPing(ctx context.Context, p *lab.Process, idle float64) ([]float64, error) {
	line, err := p.Await(ctx, helper.PingLine)
	if err != nil {
		return nil, err
	}
	d, err := helper.ParsePing(line.Text)
	return []float64{microseconds(d.P50), microseconds(d.P99), idle}, checkPing(d, err)
}

func checkPing(d latency.Distribution, err error) error {
	if err == nil && d.Count == 0 {
		return fmt.Errorf("no frame came back in time")
	}
	return err
}

func microseconds(ns int64) float64 { return float64(ns) / 1000 }
