package options

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/frames"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/record"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
)

// lengthFlag is -l: the length of the frames, or their range of lengths if -l is given twice.
type lengthFlag struct {
	*frames.Lengths
	given int
}

// Set parses -l. The second one is the lower bound.
func (l *lengthFlag) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < frames.MinLen || n > testframe.MaxLen {
		return fmt.Errorf("-l takes %d to %d", frames.MinLen, testframe.MaxLen)
	}
	switch l.given++; l.given {
	case 1:
		l.Most = int(n)
	case 2:
		l.Low = int(n)
	default:
		return errors.New("-l can be given twice, not more often")
	}
	return nil
}

func (l *lengthFlag) String() string { return strconv.Itoa(l.Most) }

// Type is the name of a value in the help.
func (l *lengthFlag) Type() string { return "bytes" }

// checkLengths fills in IPv6's default length if -l is not given, and checks the lengths.
func (o *Frames) checkLengths(v6, given bool) error {
	l := &o.Lengths
	if v6 && !given {
		l.Most = testframe.MinLen6
	}
	if v6 && l.Least() < headers6 {
		return fmt.Errorf("the headers of IPv6 and UDP do not fit into %d bytes: -l takes %d or more",
			l.Least(), headers6)
	}
	if l.Low >= l.Most {
		return fmt.Errorf("there is no length from %d to below %d: "+
			"the first -l has to be greater than the second", l.Low, l.Most)
	}
	return nil
}

const headers6 = testframe.MinLen6 - testframe.MarkLen

// Rate is a rate in frames or bits a second. 0 means as fast as possible.
type Rate struct {
	value float64
	bits  bool
}

// parseRate parses a quantity with the unit "pps", "bps" or none, which is pps.
func parseRate(s string) (Rate, error) {
	number, bits := strings.CutSuffix(s, "bps")
	if !bits {
		number = strings.TrimSuffix(s, "pps")
	}
	v, err := cli.ParseQuantity(number)
	if err != nil {
		return Rate{}, fmt.Errorf("%q is not a rate: write it as 1000, 100k, 1.5Mpps or 10Gbps", s)
	}
	return Rate{v, bits}, nil
}

// PPS returns the rate in frames a second.
func (o *Options) PPS() float64 {
	if !o.Rate.bits {
		return o.Rate.value
	}
	bytes := o.Frames.Lengths.Mean()
	if o.Show.Framing {
		bytes += record.Framing
	}
	return o.Rate.value / (8 * bytes)
}

// Config is the wanted shape of a port that is created by opening it. 0 means the default.
type Config struct{ TxSlots, RxSlots, TxRings, RxRings int }

// parseConfig parses up to four numbers: tx slots, rx slots, tx rings, rx rings. After one or three
// numbers, the next number equals the last. Other missing numbers stand for the default.
func parseConfig(s string) (c Config, err error) {
	fields := strings.Split(s, ",")
	var v [4]int
	for i, f := range fields {
		if i == len(v) {
			return c, fmt.Errorf("-C takes one to four numbers, not %d", len(fields))
		}
		n, err := strconv.ParseUint(f, 10, 16)
		if err != nil && f != "" {
			return c, fmt.Errorf("%q of %s is not a number from 0 to 65535", f, s)
		}
		v[i] = int(n)
	}
	if len(fields) == 1 {
		v[1] = v[0]
	}
	if len(fields) == 3 {
		v[3] = v[2]
	}
	return Config{v[0], v[1], v[2], v[3]}, nil
}

// Options returns the options that ask for that shape.
func (c Config) Options() (list []netmap.Option) {
	if c.TxSlots+c.RxSlots > 0 {
		list = append(list, netmap.Slots(c.TxSlots, c.RxSlots))
	}
	if c.TxRings+c.RxRings > 0 {
		list = append(list, netmap.Rings(c.TxRings, c.RxRings))
	}
	return list
}
