//go:build linux

package placement

import (
	"slices"
	"time"
)

// place is where the threads of a group are.
type place int

const (
	free     place = iota // where the kernel puts them
	together              // on one core
)

// sample is what a group did for a while.
type sample struct {
	length time.Duration
	syncs  uint64  // requests
	frames uint64  // that it received, or else sent
	work   float64 // cores that its threads used outside of the kernel
	room   bool    // another core was idle for half of the time
}

func (s sample) rate(n uint64) float64 { return float64(n) / s.length.Seconds() }

// judge decides where a group belongs, by trying both places in turns, for the rate changes by itself,
// too. It sees samples, and says where the threads should be during the next one and how long that
// takes. Nobody gains by being bound to different cores: for a moment that is the fastest of all, and
// then the threads fall asleep in turns as they do where the kernel puts them.
//
// It tries neither a group that is nearly idle, which gains nothing, nor threads whose own work fills
// a core: that leaves less than a tenth for what they could gain.
type judge struct {
	step     step
	phase    int           // of a trial
	rates    [2][]float64  // of a trial, by place
	good     float64       // rate of the place that won, in the trial
	worse    int           // samples in a row that are far below
	age      time.Duration // since the last verdict
	patience time.Duration // until the next trial
	last     place         // verdict
}

type step int

const (
	watching step = iota // free
	settling             // a trial: the threads have been moved
	measuring
	holding // together
)

const (
	watchFor  = 300 * time.Millisecond // processor time is counted in hundredths
	settleFor = 100 * time.Millisecond // it takes so long until the threads do as they will in this place
	measure   = 200 * time.Millisecond
	holdFor   = time.Second

	turns     = 3    // of a trial, in each place
	busyRate  = 2000 // syncs a second that are worth a trial
	quietRate = 500  // below it the threads are let go
	fullCore  = 0.9
	gain      = 1.1 // rate together by rate free, at least
	loss      = 0.7 // of the rate with which it won: look again

	firstPatience = 5 * time.Second
	soonest       = 2 * firstPatience // when free has become worse
	mostPatience  = time.Minute
)

// next takes what happened and returns what to do.
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

// watch begins a trial of what is worth it. What won the last one needs none after a pause.
func (j *judge) watch(s sample) (place, time.Duration) {
	switch {
	case !j.isWorthTrying(s):
	case j.age >= j.patience, j.isWorse(s) && j.age >= soonest:
		return j.begin()
	case j.last == together:
		j.step, j.worse = holding, 0
		return together, holdFor
	}
	return free, watchFor
}

// isWorse says whether the rate has been far below that of the trial for some samples.
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

// trying is where the threads are in a phase of a trial.
func (j *judge) trying() place {
	if j.phase%2 == 0 {
		return together
	}
	return free
}

// verdict ends a trial. What wins again is left alone for longer.
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
	if p == j.last && j.patience > 0 {
		j.patience = min(2*j.patience, mostPatience)
	} else {
		j.patience = firstPatience
	}
	j.last, j.age = p, 0
}

func (j *judge) release() (place, time.Duration) {
	j.step = watching
	return free, watchFor
}

// hold looks whether together is still right.
func (j *judge) hold(s sample) (place, time.Duration) {
	worse := j.isWorse(s)
	switch {
	case s.rate(s.syncs) < quietRate:
		return j.release()
	case s.work >= fullCore && s.room:
		j.decide(free)
		return j.release()
	case worse, j.age >= j.patience:
		return j.begin()
	}
	return together, holdFor
}

// median of none is 0.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// resumed is the judge after a pause, of the same threads or others: those have to show what is
// right for them, and as threads may come and go all the time, not at once.
func (j judge) resumed(pause time.Duration, same bool) judge {
	j.step, j.age = watching, j.age+pause
	if !same {
		j.last, j.age, j.patience = free, 0, min(max(2*j.patience, firstPatience), mostPatience)
	}
	return j
}

func (j *judge) isTrying() bool { return j.step == settling || j.step == measuring }

// giveUp ends a trial for long.
func (j *judge) giveUp() {
	j.step, j.age, j.patience, j.last = watching, 0, mostPatience, free
}

// measured are the rates of the last trial, 0 before the first.
func (j *judge) measured() (t, f float64) {
	return median(j.rates[together]), median(j.rates[free])
}
