//go:build linux

package placement

import (
	"slices"
	"time"
)

// place is where the threads of a group run.
type place int

const (
	free     place = iota // where the kernel puts them
	together              // on one core
)

// sample is what a group did for a while.
type sample struct {
	length time.Duration
	syncs  uint64  // requests
	frames uint64  // received frames, or sent ones if none were received
	work   float64 // how many cores its threads used outside of the kernel
	room   bool    // another core was idle for at least half of the time
}

func (s sample) rate(n uint64) float64 { return float64(n) / s.length.Seconds() }

// judge decides where the threads of a group run. It gets samples, and returns where the threads
// should be during the next sample, and how long that takes. A trial uses both places in turns,
// because the rate also changes by itself. Binding threads to different cores does not pay: for a
// moment that is the fastest, and then the threads sleep in turns, as they do where the kernel puts
// them.
//
// It does not try a group that is nearly idle, which gains nothing, and threads whose own work
// fills a core: less than a tenth is left to gain.
type judge struct {
	step  step
	phase int           // of a trial
	rates [2][]float64  // of a trial, by place
	good  float64       // the winner's rate in the trial
	worse int           // successive samples that are far below good
	age   time.Duration // since the last verdict
	pause time.Duration // until the next trial
	last  place         // the last verdict
}

type step int

const (
	watching step = iota // at place free
	settling             // in a trial, after the threads have moved
	measuring
	holding // at place together
)

const (
	watchFor  = 300 * time.Millisecond // processor time is counted in hundredths of a second
	settleFor = 100 * time.Millisecond // until the threads behave as they will in this place
	measure   = 200 * time.Millisecond
	holdFor   = time.Second

	turns     = 3    // of a trial, in each place
	busyRate  = 2000 // a trial pays above so many syncs a second
	quietRate = 500  // below so many syncs a second the threads are set free
	fullCore  = 0.9
	gain      = 1.1 // least ratio of the rates together and free
	loss      = 0.7 // a lower part of good leads to a new trial

	firstPause   = 5 * time.Second
	soonest      = 2 * firstPause // when the rate at free has become worse
	longestPause = time.Minute
)

// next judges a sample and returns what to do.
func (j *judge) next(s sample) (place, time.Duration) {
	j.age += s.length
	switch j.step {
	case watching:
		return j.watch(s)
	case settling:
		j.step = measuring
		return j.trying(), measure
	case measuring:
		p := j.trying()
		j.rates[p] = append(j.rates[p], s.rate(s.frames))
		if j.phase++; j.phase == 2*turns {
			return j.verdict()
		}
		j.step = settling
		return j.trying(), settleFor
	}
	return j.hold(s)
}

// watch begins a trial if it may pay. After a pause, the winner of the last trial needs no new one.
func (j *judge) watch(s sample) (place, time.Duration) {
	switch {
	case !j.isWorthTrying(s):
	case j.age >= j.pause, j.isWorse(s) && j.age >= soonest:
		return j.begin()
	case j.last == together:
		j.step, j.worse = holding, 0
		return together, holdFor
	}
	return free, watchFor
}

// isWorse reports whether the rate has been far below that of the trial for two samples.
func (j *judge) isWorse(s sample) bool {
	if j.worse++; s.rate(s.frames) >= loss*j.good {
		j.worse = 0
	}
	return j.worse >= 2
}

func (j *judge) isWorthTrying(s sample) bool {
	return s.rate(s.syncs) >= busyRate && s.work < fullCore && s.frames > 0
}

func (j *judge) begin() (place, time.Duration) {
	j.step, j.phase, j.rates = settling, 0, [2][]float64{}
	return j.trying(), settleFor
}

// trying returns where the threads are in a phase of a trial.
func (j *judge) trying() place {
	if j.phase%2 == 0 {
		return together
	}
	return free
}

// verdict ends a trial. If the same place wins again, the next trial is later.
func (j *judge) verdict() (place, time.Duration) {
	t, f := j.measured()
	if t == 0 || t < gain*f {
		j.decide(free)
		j.good, j.worse = f, 0
		return j.release()
	}
	j.decide(together)
	j.step, j.good, j.worse = holding, t, 0
	return together, holdFor
}

func (j *judge) decide(p place) {
	if p == j.last && j.pause > 0 {
		j.pause = min(2*j.pause, longestPause)
	} else {
		j.pause = firstPause
	}
	j.last, j.age = p, 0
}

func (j *judge) release() (place, time.Duration) {
	j.step = watching
	return free, watchFor
}

// hold checks whether together is still right.
func (j *judge) hold(s sample) (place, time.Duration) {
	worse := j.isWorse(s)
	switch {
	case s.rate(s.syncs) < quietRate:
		return j.release()
	case s.work >= fullCore && s.room:
		j.decide(free)
		return j.release()
	case worse, j.age >= j.pause:
		return j.begin()
	}
	return together, holdFor
}

// median returns 0 for an empty list.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// resumed returns the judge after a pause. Other threads than before need a new trial, but a later
// one, because threads may come and go all the time.
func (j judge) resumed(pause time.Duration, same bool) judge {
	j.step, j.age = watching, j.age+pause
	if !same {
		j.last, j.age, j.pause = free, 0, min(max(2*j.pause, firstPause), longestPause)
	}
	return j
}

func (j *judge) isTrying() bool { return j.step == settling || j.step == measuring }

// giveUp ends a trial and delays the next one for long.
func (j *judge) giveUp() {
	j.step, j.age, j.pause, j.last = watching, 0, longestPause, free
}

// measured returns the rates of the last trial, 0 before the first.
func (j *judge) measured() (t, f float64) {
	return median(j.rates[together]), median(j.rates[free])
}
