//go:build linux

package placement

import (
	"testing"
	"time"
)

// world is what a group would do, by its place.
type world struct {
	frames [2]float64 // a second
	syncs  float64
	work   [2]float64
	busy   bool // no other core has room
}

// life is what a judge did for a while.
type life struct {
	ended  place
	trials int
	in     [2]time.Duration
}

// live makes a judge decide for that length of time.
func (w world) live(j *judge, length time.Duration) (l life) {
	at, wait := free, watchFor
	for passed := time.Duration(0); passed < length; passed += wait {
		l.in[at] += wait
		s := sample{length: wait, syncs: uint64(w.syncs * wait.Seconds()),
			frames: uint64(w.frames[at] * wait.Seconds()),
			work:   w.work[at], room: !w.busy}
		tried := j.isTrying()
		if at, wait = j.next(s); !tried && j.isTrying() {
			l.trials++
		}
	}
	l.ended = at
	return l
}

func TestJudgeChoosesTheFaster(t *testing.T) {
	const minute = 10 * time.Minute / 10
	for name, c := range map[string]struct {
		world
		want      place
		fewTrials bool
	}{
		"together":           {world{frames: [2]float64{10e6, 30e6}, syncs: 50e3}, together, false},
		"free":               {world{frames: [2]float64{10e6, 7e6}, syncs: 50e3}, free, false},
		"alike":              {world{frames: [2]float64{10e6, 10.5e6}, syncs: 50e3}, free, false},
		"no frames together": {world{frames: [2]float64{10e6, 0}, syncs: 50e3}, free, false},
		"nearly idle":        {world{frames: [2]float64{10, 30}, syncs: 100}, free, true},
		"no frames":          {world{syncs: 50e3}, free, true},
		"their own work fills a core": {
			world{frames: [2]float64{10e6, 30e6}, syncs: 50e3, work: [2]float64{0.95, 0.95}}, free, true},
	} {
		t.Run(name, func(t *testing.T) {
			var j judge
			l := c.live(&j, 5*minute)
			if l.ended != c.want && !j.isTrying() {
				t.Errorf("%d after 5 minutes, want %d", l.ended, c.want)
			}
			if c.fewTrials && l.trials > 0 {
				t.Errorf("%d trials", l.trials)
			}
			// Time at the wrong place is short in the long run.
			if wrong := 5*minute - l.in[c.want]; wrong > 5*minute*3/100 {
				t.Errorf("%v of 5 minutes at the wrong place", wrong)
			}
		})
	}
}

// TestJudgeLetsGo tests that threads are set free when their rate falls and a trial shows it, when
// they have little to do, and at once when their own work fills the core and another core has room.
func TestJudgeLetsGo(t *testing.T) {
	good := world{frames: [2]float64{10e6, 30e6}, syncs: 50e3}
	for name, c := range map[string]struct {
		then   world
		within time.Duration
		want   place
	}{
		"slower": {world{frames: [2]float64{10e6, 7e6}, syncs: 50e3}, 4 * time.Second, free},
		"quiet":  {world{frames: [2]float64{10, 10}, syncs: 100}, 1500 * time.Millisecond, free},
		"full": {world{frames: good.frames, syncs: 50e3, work: [2]float64{1.2, 0.95}},
			1500 * time.Millisecond, free},
		"all full": {world{frames: good.frames, syncs: 50e3, work: [2]float64{0.95, 0.95}, busy: true},
			4 * time.Second, together},
		"as before": {good, 4 * time.Second, together},
	} {
		t.Run(name, func(t *testing.T) {
			var j judge
			if good.live(&j, 2*time.Second); j.last != together {
				t.Fatal("not together, although that is faster")
			}
			at, wait := together, holdFor
			for passed := time.Duration(0); passed < c.within; passed += wait {
				at, wait = j.next(sample{length: wait, syncs: uint64(c.then.syncs * wait.Seconds()),
					frames: uint64(c.then.frames[at] * wait.Seconds()), work: c.then.work[at], room: !c.then.busy})
			}
			if at != c.want {
				t.Errorf("%d, want %d", at, c.want)
			}
		})
	}
}

// TestJudgeGivesUp tests that an impossible trial is not repeated at once.
func TestJudgeGivesUp(t *testing.T) {
	var j judge
	good := world{frames: [2]float64{10e6, 30e6}, syncs: 50e3}
	good.live(&j, time.Second)
	j.giveUp()
	if l := good.live(&j, longestPause-time.Second); l.trials != 0 ||
		l.in[free] < longestPause-2*time.Second {
		t.Errorf("%+v", l)
	}
	if l := good.live(&j, 5*time.Second); l.trials != 1 {
		t.Errorf("%+v", l)
	}
}

// TestJudgeLooksAgainWhenFreeBecomesWorse tests a kernel that places the threads well at first, and
// badly later.
func TestJudgeLooksAgainWhenFreeBecomesWorse(t *testing.T) {
	var j judge
	good := world{frames: [2]float64{30e6, 25e6}, syncs: 50e3}
	if l := good.live(&j, 2*time.Minute); l.ended != free {
		t.Fatalf("%+v", l)
	}
	for j.isTrying() || j.age < soonest {
		good.live(&j, watchFor)
	}
	bad := world{frames: [2]float64{12e6, 25e6}, syncs: 50e3}
	if bad.live(&j, 4*time.Second); j.last != together {
		t.Errorf("%+v", j)
	}
}
