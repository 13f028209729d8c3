// Package report keeps the measured figures in one file per machine, and writes a page of them.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
)

// Record is everything that was measured on a machine.
type Record struct {
	Machine  Machine           `json:"machine"`
	Run      Run               `json:"run"` // the last run
	Outcomes []contest.Outcome `json:"outcomes"`
}

// Text returns the machine and the run as lines for a terminal.
func (r Record) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %s\n", "machine", r.Machine.Title())
	for _, l := range r.Run.lines() {
		fmt.Fprintf(&b, "%-12s %s\n", l[0], l[1])
	}
	return b.String()
}

// Text returns an outcome as a table for a terminal.
func Text(o contest.Outcome) string {
	return fmt.Sprintf("\n%s\n\n%s", o.Title, tableOf(o).text())
}

// Read reads a record.
func Read(path string) (Record, error) {
	var r Record
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return Record{}, fmt.Errorf("read the figures in %s: %w", path, err)
	}
	return r, nil
}

// readAll reads the records in a folder, in the order of their files' names.
func readAll(folder string) (all []Record, err error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		r, err := Read(p)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Write writes the record.
func (r Record) Write(path string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// update returns a record of now's machine and run. Outcomes measured now replace those of r with
// the same name. Other outcomes of r stay if order has their comparison, else they are removed. The
// outcomes are sorted as in order.
func (r Record) update(now Record, order []contest.Comparison) Record {
	at := func(name string) int {
		return slices.IndexFunc(order, func(c contest.Comparison) bool { return c.Name == name })
	}
	again := func(o contest.Outcome) bool {
		return at(o.Name) < 0 || slices.ContainsFunc(now.Outcomes,
			func(n contest.Outcome) bool { return n.Name == o.Name })
	}
	now.Outcomes = append(slices.DeleteFunc(slices.Clone(r.Outcomes), again), now.Outcomes...)
	slices.SortStableFunc(now.Outcomes,
		func(a, b contest.Outcome) int { return at(a.Name) - at(b.Name) })
	return now
}
