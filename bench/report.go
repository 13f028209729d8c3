package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// report is everything that was measured.
type report struct {
	machine  machine
	options  options
	outcomes []outcome
}

const preface = `# Performance

Written by ` + "`make bench`" + `. Contenders of a table run in turns, %d rounds of about %v seconds each; a figure is the median, with
the lowest and the highest round in brackets. Ratios are of medians. Bars in blue are ours, those in grey others.

`

// write writes the page, and a plot a comparison into a folder named like it.
func (r report) write(path string) error {
	folder := strings.TrimSuffix(path, filepath.Ext(path))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, o := range r.outcomes {
		if c := o.chart(); len(c.panels) > 0 {
			if err := os.WriteFile(filepath.Join(folder, o.name+".svg"), []byte(c.svg()), 0o644); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(path, []byte(r.markdown(filepath.Base(folder))), 0o644)
}

// markdown is the page; the plots are in that folder beside it.
func (r report) markdown(folder string) string {
	var b strings.Builder
	fmt.Fprintf(&b, preface, r.options.rounds, r.options.seconds)
	for _, l := range r.machine.lines() {
		fmt.Fprintf(&b, "- %s: %s\n", l[0], l[1])
	}
	for _, o := range r.outcomes {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", o.title, o.text)
		if len(o.chart().panels) > 0 {
			fmt.Fprintf(&b, "![%s](%s/%s.svg)\n\n", o.title, folder, o.name)
		}
		b.WriteString(o.table().markdown())
	}
	return b.String()
}
