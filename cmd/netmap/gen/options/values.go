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

// lengthFlag is -l: the length of the frames, or given twice, the lengths.
type lengthFlag struct {
	*frames.Lengths
	given int
}

// Set reads -l. The second of them is the lower bound.
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

// Type is what the help calls a value.
func (l *lengthFlag) Type() string { return "bytes" }

// settleLengths takes the default of IPv6 where there is no -l.
func (o *Frames) settleLengths(v6, given bool) error {
	l := &o.Lengths
	if v6 && !given {
		l.Most = testframe.MinLen6
	}
	if v6 && l.Least() < headers6 {
		return fmt.Errorf("the headers of IPv6 and UDP do not fit into %d bytes: -l takes %d or more",
			l.Least(), headers6)
	}
	if l.Low >= l.Most {
		return fmt.Errorf("there is no length from %d to below %d: the first -l is to be greater than the second",
			l.Low, l.Most)
	}
	return nil
}

const headers6 = testframe.MinLen6 - testframe.MarkLen

// Rate is how fast frames go: so many a second, or so many bits. 0 is as fast as possible.
type Rate struct {
	value float64
	bits  bool
}

// parseRate reads a quantity, with "pps" or "bps" behind it, or neither.
func parseRate(s string) (Rate, error) {
	number, bits := strings.CutSuffix(s, "bps")
	if !bits {
		number = strings.TrimSuffix(s, "pps")
	}
	v, err := cli.ParseQuantity(number)
	if err != nil {
		return Rate{}, fmt.Errorf("%q is no rate: write it as 1000, 100k, 1.5Mpps or 10Gbps", s)
	}
	return Rate{v, bits}, nil
}

// PPS is the rate in frames a second.
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

// Config is what a port that is made by opening it is to be like. 0 is the default.
type Config struct{ TxSlots, RxSlots, TxRings, RxRings int }

// parseConfig reads up to four numbers: tx slots, rx slots, tx rings, rx rings. One that is missing is
// as the one before, the rings as by default.
func parseConfig(s string) (c Config, err error) {
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
	return Config{v[0], v[1], v[2], v[3]}, nil
}

// Options are those of opening such a port.
func (c Config) Options() (list []netmap.Option) {
	if c.TxSlots+c.RxSlots > 0 {
		list = append(list, netmap.Slots(c.TxSlots, c.RxSlots))
	}
	if c.TxRings+c.RxRings > 0 {
		list = append(list, netmap.Rings(c.TxRings, c.RxRings))
	}
	return list
}
