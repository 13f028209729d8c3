// Command bench measures this netmap side by side with others that do the same: DPDK and AF_PACKET on an interface, DPDK's
// memif between processes. It prints what it found and writes doc/performance.md.
//
//	go run ./bench                     everything, about five minutes, as root
//	go run ./bench -list               what there is
//	go run ./bench -only veth          some of it; writes nothing unless -out says where
//
// Every process that takes part is started and ended by the command. Interfaces are veth pairs in network namespaces that
// exist for one measurement only. What is missing is named and left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == helperWord {
		exitOn(runHelper(os.Args[2:]))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	exitOn(run(ctx, os.Args[1:]))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rounds  int
	seconds float64
	only    string
	out     string
	list    bool
}

func parseOptions(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	f.IntVar(&o.rounds, "rounds", 3, "measure everything so many `times`, in turns")
	f.Float64Var(&o.seconds, "seconds", 2, "length of one measurement")
	f.StringVar(&o.only, "only", "", "measure only what matches this `regexp`, see -list")
	f.StringVar(&o.out, "out", "doc/performance.md", "`file` to write; plots go beside it. With -only, nothing is written unless -out is given")
	f.BoolVar(&o.list, "list", false, "list the names of all measurements")
	f.Parse(args) // ends the program if it must
	given := false
	f.Visit(func(f *flag.Flag) { given = given || f.Name == "out" })
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("%q is no flag: see -help", f.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("-rounds %d: want 1 or more", o.rounds)
	case !(o.seconds >= 0.1 && o.seconds <= 3600):
		return o, fmt.Errorf("-seconds %v: want 0.1 to 3600", o.seconds)
	case o.only != "" && !given:
		o.out = ""
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	chosen := choose(comparisons(), only)
	if len(chosen) == 0 {
		return fmt.Errorf("nothing is called %q: see -list", o.only)
	}
	if o.list {
		list(os.Stdout, chosen)
		return nil
	}
	return measureAll(ctx, o, chosen)
}

func measureAll(ctx context.Context, o options, chosen []comparison) error {
	lab, err := newLab()
	if err != nil {
		return err
	}
	defer lab.close()
	r := report{machine: thisMachine(ctx, lab), options: o}
	fmt.Print(r.machine.text())
	for _, c := range chosen {
		outcome := c.measure(ctx, lab, o.rounds, time.Duration(o.seconds*float64(time.Second)), os.Stderr)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		r.outcomes = append(r.outcomes, outcome)
		fmt.Printf("\n%s\n\n%s", c.title, outcome.table().text())
	}
	if o.out == "" {
		return nil
	}
	return r.write(o.out)
}
