package gen

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
)

// minLen is the length of the shortest frame that -l makes: that of an Ethernet header, and pkt-gen's two bytes.
const minLen = 16

// lengths are those of the frames: all the same, or drawn for each, from low to below most.
type lengths struct {
	most, low int
	given     int
}

// Set reads -l. The second of them is the lower bound.
func (l *lengths) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < minLen || n > testframe.MaxLen {
		return fmt.Errorf("-l takes %d to %d", minLen, testframe.MaxLen)
	}
	switch l.given++; l.given {
	case 1:
		l.most = int(n)
	case 2:
		l.low = int(n)
	default:
		return errors.New("-l can be given twice, not more often")
	}
	return nil
}

func (l *lengths) String() string { return strconv.Itoa(l.most) }

// Type is what the help calls a value.
func (l *lengths) Type() string { return "bytes" }

func (l *lengths) settle(v6 bool) error {
	if v6 && l.given == 0 {
		l.most = testframe.MinLen6
	}
	if v6 && l.least() < headers6 {
		return fmt.Errorf("the headers of IPv6 and UDP do not fit into %d bytes: -l takes %d or more", l.least(), headers6)
	}
	if l.low >= l.most {
		return fmt.Errorf("there is no length from %d to below %d: the first -l is to be greater than the second", l.low, l.most)
	}
	return nil
}

const headers6 = testframe.MinLen6 - testframe.MarkLen

// least is the shortest, mean what they are on the average.
func (l lengths) least() int {
	if l.low > 0 {
		return l.low
	}
	return l.most
}

func (l lengths) mean() float64 {
	if l.low > 0 {
		return float64(l.low+l.most-1) / 2
	}
	return float64(l.most)
}

func (l lengths) draw() int { return l.low + rand.IntN(l.most-l.low) }

// rate is how fast frames go: so many a second, or so many bits. 0 is as fast as possible.
type rate struct {
	value float64
	bits  bool
}

// parseRate reads a quantity, with "pps" or "bps" behind it, or neither.
func parseRate(s string) (rate, error) {
	number, bits := strings.CutSuffix(s, "bps")
	if !bits {
		number = strings.TrimSuffix(s, "pps")
	}
	v, err := cli.ParseQuantity(number)
	if err != nil {
		return rate{}, fmt.Errorf("%q is no rate: write it as 1000, 100k, 1.5Mpps or 10Gbps", s)
	}
	return rate{v, bits}, nil
}

// pps is the rate in frames a second.
func (o *flags) pps() float64 {
	if !o.rate.bits {
		return o.rate.value
	}
	bytes := o.frames.lengths.mean()
	if o.show.framing {
		bytes += framing
	}
	return o.rate.value / (8 * bytes)
}

// config is what a port that is made by opening it is to be like. 0 is the default.
type config struct{ txSlots, rxSlots, txRings, rxRings int }

// parseConfig reads up to four numbers: tx slots, rx slots, tx rings, rx rings. One that is missing is as the one before,
// the rings as by default.
func parseConfig(s string) (c config, err error) {
	fields := strings.Split(s, ",")
	var v [4]int
	for i, f := range fields {
		if i == len(v) {
			return c, fmt.Errorf("-C takes one to four numbers, not %d", len(fields))
		}
		n, err := strconv.ParseUint(f, 10, 16)
		if err != nil && f != "" {
			return c, fmt.Errorf("%q of %s is no number from 0 to 65535", f, s)
		}
		v[i] = int(n)
	}
	if len(fields) == 1 {
		v[1] = v[0]
	}
	if len(fields) == 3 {
		v[3] = v[2]
	}
	return config{v[0], v[1], v[2], v[3]}, nil
}

func (c config) options() (list []netmap.Option) {
	if c.txSlots+c.rxSlots > 0 {
		list = append(list, netmap.Slots(c.txSlots, c.rxSlots))
	}
	if c.txRings+c.rxRings > 0 {
		list = append(list, netmap.Rings(c.txRings, c.rxRings))
	}
	return list
}
