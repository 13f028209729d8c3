package options

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

// The bits of -o.
const (
	optPrefetch  = 1 << 0
	optAccess    = 1 << 1
	optCopy      = 1 << 2
	optMemcpy    = 1 << 3
	optTime      = 1 << 4
	optIndirect  = 1 << 5
	optDump      = 1 << 6
	optRubbish   = 1 << 8
	optRandomSrc = 1 << 9
	optRandomDst = 1 << 10
	optDeviation = 1 << 11
	optChecksum  = 1 << 12

	// without effect: gen writes every frame anyway
	optNoEffect = optPrefetch | optAccess
	// gen always does what the bits between do
	optAll = optNoEffect | optCopy | optMemcpy | optTime | 0x60 | 0x1f00
)

func parseOptions(s string) (uint, error) {
	v, err := strconv.ParseUint(s, 0, 32)
	if err != nil || v&^optAll != 0 {
		return 0,
			fmt.Errorf("-o takes a sum of 1, 2, 4, 8, 16, 32, 64, 256, 512, 1024, 2048 and 4096, not %s", s)
	}
	return uint(v), nil
}

// addOldFlags defines -o, whose bits are also flags by themselves, and flags that pkt-gen once had.
func (o *Options) addOldFlags(f *pflag.FlagSet) {
	add := func(s string) (uint, error) {
		v, err := parseOptions(s)
		return o.old | v, err
	}
	f.VarP(cli.NewValue(&o.old, add, "bits", ""), "options", "o",
		"the same as -I (32), -X (64), -r (256), -z (512), -Z (1024), -A (2048), as a sum")
	for _, old := range []struct{ letter, name, advice string }{
		{"t", "old-send", "pkt-gen gave -t up in 2012: write -f tx -n N; a time is --time"},
		{"e", "old-extra-buffers", "gen has no use for extra buffers: leave -e out"},
		{"E", "old-extra-pipes", "pipes need no reservation: leave -E out"},
		{"m", "old-memory", "-m has never meant anything: leave it out"},
	} {
		refuse := func(string) (string, error) { return "", errors.New(old.advice) }
		f.VarP(cli.NewValue(new(string), refuse, "", ""), old.name, old.letter, "")
		f.Lookup(old.name).Hidden = true
	}
}

// setOld sets the flags that -o stands for.
func (o *Options) setOld() {
	for bit, flag := range map[uint]*bool{
		optIndirect: &o.Slots.Indirect, optDump: &o.Show.Dump, optRubbish: &o.Frames.Rubbish,
		optRandomSrc: &o.Frames.RandomSrc,
		optRandomDst: &o.Frames.RandomDst, optDeviation: &o.Show.Deviation,
	} {
		*flag = *flag || o.old&bit != 0
	}
}

// ChangesNothing reports whether -o has a bit without effect.
func (o *Options) ChangesNothing() bool { return o.old&optNoEffect != 0 }
