package replay

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

// bandwidth is a model of when frames are sent.
type bandwidth struct {
	kind  kind
	value float64 // a factor, or frames or bits a second
}

type kind int

const (
	real     kind = iota // at the times of the file, value times as fast
	rate                 // value frames a second
	constant             // value bits a second
	ether                // value bits a second, including Ethernet's overhead
	top                  // as fast as possible
)

// framing is Ethernet's overhead for a frame: CRC, preamble and gap, in bytes.
const framing = 4 + 20

// parseBandwidth parses the argument of nmreplay's -B.
func parseBandwidth(s string) (bandwidth, error) {
	model, args := split(s)
	var err error
	b := bandwidth{constant, 0}
	switch {
	case model == "real" && len(args) == 0:
		return bandwidth{real, 1}, nil
	case model == "real" && len(args) == 1:
		b.kind = real
		b.value, err = strconv.ParseFloat(args[0], 64)
	case model == "ether" && len(args) == 1:
		b.kind = ether
		b.value, err = cli.ParseQuantity(args[0])
	case (model == "constant" || model == "") && len(args) == 1:
		b.value, err = cli.ParseQuantity(args[0])
	default:
		return b, fmt.Errorf("%q is no bandwidth: write bps, constant,bps, ether,bps or real,speedup", s)
	}
	if err == nil && !(b.value > 0 && b.value < 1e18) {
		err = fmt.Errorf("%q is no rate at which frames can be sent", s)
	}
	return b, err
}

// split separates a model from its arguments. A single number is an argument.
func split(s string) (model string, args []string) {
	args = strings.Split(s, ",")
	if c := args[0]; c != "" && (c[0] < '0' || c[0] > '9') && c[0] != '.' && c[0] != '-' {
		return c, args[1:]
	}
	return "", args
}

// delay is added to the time of a frame. It is least plus a random time of up to span. If
// exponential, the random time is span on average instead.
type delay struct {
	least, span float64 // ns
	exponential bool
}

// parseDelay parses the argument of nmreplay's -D. For exp, nmreplay's manual and its code disagree
// on which number comes first; here the smaller one is the minimum.
func parseDelay(s string) (d delay, err error) {
	model, args := split(s)
	v := make([]float64, len(args))
	for i, a := range args {
		if v[i], err = parseTime(a); err != nil {
			return d, err
		}
	}
	switch {
	case (model == "" || model == "constant") && len(v) == 1:
		return delay{least: v[0]}, nil
	case model == "uniform" && len(v) == 2 && v[0] <= v[1]:
		return delay{least: v[0], span: v[1] - v[0]}, nil
	case model == "exp" && len(v) == 2:
		least := min(v[0], v[1])
		return delay{least, max(v[0], v[1]) - least, true}, nil
	}
	return d, fmt.Errorf("%q is no delay: write time, constant,time, "+
		"uniform,least,most or exp,least,average", s)
}

// units are nmreplay's units and the usual ones. The default is seconds.
var units = map[string]time.Duration{
	"": time.Second, "s": time.Second, "m": time.Millisecond, "ms": time.Millisecond,
	"u": time.Microsecond, "us": time.Microsecond,
	"n": time.Nanosecond, "ns": time.Nanosecond,
}

// parseTime returns a time in nanoseconds.
func parseTime(s string) (float64, error) {
	number := strings.TrimRight(s, "smun")
	unit, ok := units[s[len(number):]]
	v, err := strconv.ParseFloat(number, 64)
	if v *= float64(unit); !ok || err != nil || !(v >= 0 && v <= float64(time.Hour)) {
		return 0, fmt.Errorf("%q is no time up to an hour: write it as 20ms, 5u or 1.5s", s)
	}
	return v, nil
}

func (d delay) sample(r *rand.Rand) int64 {
	switch {
	case d.exponential:
		return int64(d.least + r.ExpFloat64()*d.span)
	case d.span > 0:
		return int64(d.least + r.Float64()*d.span)
	}
	return int64(d.least)
}

// loss is the probability that a frame, or a bit, is lost.
type loss struct {
	p   float64
	bit bool
}

// parseLoss parses the argument of nmreplay's -L.
func parseLoss(s string) (l loss, err error) {
	model, args := split(s)
	if model != "" && model != "plr" && model != "ber" || len(args) != 1 {
		return l, fmt.Errorf("%q is no loss: write a probability, plr,probability or ber,probability", s)
	}
	l.bit = model == "ber"
	if l.p, err = strconv.ParseFloat(args[0], 64); err == nil && !(l.p >= 0 && l.p <= 1) {
		err = errors.New("out of range")
	}
	if err != nil {
		return l, fmt.Errorf("%q is no probability from 0 to 1", args[0])
	}
	return l, nil
}

func (l loss) sample(r *rand.Rand, length int) bool {
	switch {
	case l.p == 0:
		return false
	case l.bit:
		return r.Float64() < -math.Expm1(float64(8*length)*math.Log1p(-l.p))
	}
	return r.Float64() < l.p
}

// schedule computes when frames are to be sent, in nanoseconds from the start. Frames keep their
// order.
type schedule struct {
	bandwidth
	delay
	loss
	random *rand.Rand

	n     float64 // frames so far
	last  int64   // when the previous frame was due
	begin int64   // when the pass began
	timed bool    // the file has given a time for a frame of this pass
	zero  int64   // the first time of the file, or 0
	until int64   // the latest time
	count int64   // frames of this pass
	busy  float64 // when a link of that bandwidth is free
}

// pass starts a pass through the file. Its first frame comes one mean gap after the last frame.
func (s *schedule) pass() {
	if s.count > 1 {
		s.begin += int64(float64(s.until-s.zero) / s.value * float64(s.count) / float64(s.count-1))
	}
	s.count, s.timed, s.zero, s.until = 0, false, 0, 0
}

// next returns when a frame is due, and whether it is lost.
func (s *schedule) next(p *packet) (due int64, lost bool) {
	switch s.kind {
	case real:
		due = s.begin + int64(float64(s.read(p.at)-s.zero)/s.value)
	case rate:
		due = int64(s.n / s.value * 1e9)
	case constant, ether:
		due = int64(s.busy)
		bytes := int(p.len)
		if s.kind == ether {
			bytes += framing
		}
		s.busy += float64(bytes*8) / s.value * 1e9
	}
	s.n++
	s.count++
	s.last = max(s.last, due+s.delay.sample(s.random))
	return s.last, s.loss.sample(s.random, int(p.len))
}

// read returns the time of a frame according to the file. A frame without a time gets that of the
// previous frame.
func (s *schedule) read(at int64) int64 {
	if at == timeless {
		return s.until
	}
	if !s.timed {
		s.timed, s.zero, s.until = true, at, at
	}
	s.until = max(s.until, at)
	return at
}
