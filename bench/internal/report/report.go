package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
)

const preface = `# Performance

Written by ` + "`make bench`" + `: a section a machine. A run replaces what it measured in the section of the machine that it runs on, which
is told by its processor and its kernel, and leaves the others as they are.

## How to read it

Absolute figures do not carry over from one machine to another; ratios to what was measured in the same run do. A **floor** is a
loop that does only what has to be done: it copies frames in the same memory, or wakes the other process, and knows no netmap. A **peer** is
somebody else's program that does the same work. Targets are ratios to one of them.

Contenders of a table run in turns; a figure is the median of the rounds, with the lowest and the highest in brackets. Ratios are
of medians, but those to a floor in one process: they are of the same round. Bars in blue are ours, those in grey others.

**Not slower** means: the median of five rounds, as a ratio to the same run's floor, is within 10 % of what it was before. This
says whether that is so, on one machine and with nothing else running:

` + "```sh" + `
go run ./bench -only embed -json before.json   # at the commit before
go run ./bench -only embed -against before.json
` + "```" + `

`

// Write writes the page, which has all records beside it, and puts this one among them.
func Write(path string, now Record, all []contest.Comparison) error {
	folder := strings.TrimSuffix(path, filepath.Ext(path))
	plots := filepath.Join(folder, now.Machine.slug())
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	file := plots + ".json"
	before, err := Read(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now = before.update(now, all)
	if err := now.draw(plots); err != nil {
		return err
	}
	if err := now.Write(file); err != nil {
		return err
	}
	records, err := readAll(folder)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(markdown(records, all, filepath.Base(folder))), 0o644)
}

// draw writes a plot a comparison.
func (r Record) draw(folder string) error {
	for _, o := range r.Outcomes {
		if c := chartOf(o); len(c.panels) > 0 {
			if err := os.WriteFile(filepath.Join(folder, o.Name+".svg"), []byte(c.svg()), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// markdown is the page; the plots are in that folder beside it.
func markdown(records []Record, all []contest.Comparison, folder string) string {
	var b strings.Builder
	b.WriteString(preface + "## What is measured\n")
	for _, c := range all {
		fmt.Fprintf(&b, "\n**%s.** %s\n", c.Title, c.Text)
	}
	for _, r := range records {
		r.section(&b, folder)
	}
	return b.String()
}

// section is what the page says of a machine.
func (r Record) section(b *strings.Builder, folder string) {
	fmt.Fprintf(b, "\n## %s\n\n", r.Machine.Title())
	for _, l := range r.Run.lines() {
		fmt.Fprintf(b, "- %s: %s\n", l[0], l[1])
	}
	for _, o := range r.Outcomes {
		fmt.Fprintf(b, "\n### %s\n\n", o.Title)
		if len(chartOf(o).panels) > 0 {
			fmt.Fprintf(b, "![%s](%s/%s/%s.svg)\n\n", o.Title, folder, r.Machine.slug(), o.Name)
		}
		b.WriteString(tableOf(o).markdown())
	}
}
