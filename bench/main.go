// Command bench compares this netmap with floors, which do only what has to be done, and with other
// programs that do the same: DPDK and AF_PACKET on an interface, and DPDK's memif between
// processes. It prints the figures and writes doc/performance.md.
//
//	go run ./bench                     everything, about eight minutes, as root
//	go run ./bench -list               the names of all comparisons
//	go run ./bench -only veth          some of them; writes nothing without -out
//	go run ./bench -json old.json      also keeps the figures in a file
//	go run ./bench -against old.json   fails if a ratio to a floor has become worse
//
// The command starts and ends every process that takes part. Interfaces are veth pairs in network
// namespaces that exist only for one measurement. A contender that needs something missing is left
// out, and the report names what is missing.
//
// The packages, each built on those before it:
//
//	internal/lab      processes, network namespaces and a daemon, and rates of what they count
//	internal/helper   programs that run in processes of their own: senders, receivers, floors
//	internal/contest  contenders that run in turns, their medians, ratios and targets
//	internal/rows     the comparisons and the peers
//	internal/report   tables, plots, the page, the files of figures
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
	"github.com/seed-48afdc40/netmap/bench/internal/helper"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
	"github.com/seed-48afdc40/netmap/bench/internal/report"
	"github.com/seed-48afdc40/netmap/bench/internal/rows"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == lab.HelperWord {
		exitOn(helper.Run(os.Args[2:]))
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

// options are the values of the flags.
type options struct {
	rounds  int
	seconds float64
	only    string
	out     string
	json    string
	against string
	list    bool
}

func parseOptions(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	f.IntVar(&o.rounds, "rounds", 3,
		"measure everything so many `times`, in turns; 5 with -json or -against")
	f.Float64Var(&o.seconds, "seconds", 1, "length of one measurement")
	f.StringVar(&o.only, "only", "", "measure only what matches this `regexp`, see -list")
	f.StringVar(&o.out, "out", "doc/performance.md",
		"`file` to write, with plots and figures beside it; with -only, the default is to write none")
	f.StringVar(&o.json, "json", "", "`file` to write the figures to")
	f.StringVar(&o.against, "against", "",
		"`file` of figures of this machine: fail if a ratio to a floor is more than 10 % worse")
	f.BoolVar(&o.list, "list", false, "list the names of all measurements")
	f.Parse(args) // ends the program if an argument is wrong
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["rounds"] && (o.json != "" || o.against != "") {
		o.rounds = contest.EnoughRounds
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("%q is no flag: see -help", f.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("-rounds %d: want 1 or more", o.rounds)
	case !(o.seconds >= 0.1 && o.seconds <= 3600):
		return o, fmt.Errorf("-seconds %v: want 0.1 to 3600", o.seconds)
	case o.against != "" && o.rounds < contest.EnoughRounds:
		return o, fmt.Errorf("-rounds %d: -against compares medians of %d or more", o.rounds,
			contest.EnoughRounds)
	case o.only != "" && !given["out"]:
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
	chosen := contest.Choose(rows.All(), only)
	if len(chosen) == 0 {
		return fmt.Errorf("nothing is called %q: see -list", o.only)
	}
	if o.list {
		contest.List(os.Stdout, chosen)
		return nil
	}
	var before report.Record
	if o.against != "" {
		if before, err = report.Read(o.against); err != nil {
			return err
		}
		if here := report.ThisMachine(); before.Machine != here {
			return fmt.Errorf("-against %s: its figures are of %s, and this is %s", o.against,
				before.Machine.Title(), here.Title())
		}
	}
	now, err := measure(ctx, o, chosen)
	if err != nil {
		return err
	}
	if o.json != "" {
		if err := now.Write(o.json); err != nil {
			return err
		}
	}
	if o.out != "" {
		if err := report.Write(o.out, now, rows.All()); err != nil {
			return err
		}
	}
	if o.against != "" {
		return compare(os.Stdout, before.Outcomes, now.Outcomes)
	}
	return nil
}

// measure runs the chosen comparisons, and prints each table as soon as it is complete.
func measure(ctx context.Context, o options, chosen []contest.Comparison) (report.Record, error) {
	l, err := lab.New()
	if err != nil {
		return report.Record{}, err
	}
	defer l.Close()
	r := report.Record{Machine: report.ThisMachine(),
		Run: report.ThisRun(rows.DPDKVersion(ctx, l), o.rounds, o.seconds)}
	fmt.Print(r.Text())
	for _, c := range chosen {
		outcome := c.Measure(ctx, l, o.rounds, time.Duration(o.seconds*float64(time.Second)), os.Stderr)
		if ctx.Err() != nil {
			return report.Record{}, errors.New("interrupted")
		}
		r.Outcomes = append(r.Outcomes, outcome)
		fmt.Print(report.Text(outcome))
	}
	return r, nil
}

// compare prints all ratios to floors before and now. It fails if one has become worse.
func compare(w io.Writer, before, now []contest.Outcome) error {
	changes := contest.Compare(before, now)
	if len(changes) == 0 {
		return errors.New("-against: no row that was measured now has a floor in these figures")
	}
	slower := 0
	fmt.Fprintf(w, "\n%-60s %7s %7s\n", "ratio to the floor", "before", "now")
	for _, c := range changes {
		fmt.Fprintln(w, c)
		if c.Slower {
			slower++
		}
	}
	if slower > 0 {
		return fmt.Errorf("%d of %d ratios to a floor are more than %.0f %% worse than before", slower,
			len(changes), 100*contest.Tolerance)
	}
	return nil
}
