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

// marker separates the page's handwritten part from the part that this package writes.
const marker = "<!-- From here on the page is written by make bench. -->\n"

// Write stores the record beside the page, and rewrites the page after its marker.
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
	prose, err := proseOf(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(prose+marker+markdown(records, all, filepath.Base(folder))),
		0o644)
}

// proseOf returns the page's text before the marker.
func proseOf(path string) (string, error) {
	page, err := os.ReadFile(path)
	switch prose, _, marked := strings.Cut(string(page), marker); {
	case errors.Is(err, fs.ErrNotExist):
		return "# Performance\n\n", nil
	case err == nil && !marked:
		return "", fmt.Errorf("%s has no line %q after the handwritten part", path,
			strings.TrimSpace(marker))
	default:
		return prose, err
	}
}

// draw writes one plot per comparison.
func (r Record) draw(folder string) error {
	for _, o := range r.Outcomes {
		if c := chartOf(o); len(c.panels) > 0 {
			path := filepath.Join(folder, o.Name+".svg")
			if err := os.WriteFile(path, []byte(c.svg()), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// markdown returns the measured part of the page. The plots are in the folder beside it.
func markdown(records []Record, all []contest.Comparison, folder string) string {
	var b strings.Builder
	b.WriteString("\n## What is measured\n")
	for _, c := range all {
		fmt.Fprintf(&b, "\n**%s.**\n%s\n", c.Title, c.Text)
	}
	for _, r := range records {
		r.section(&b, folder)
	}
	return b.String()
}

// section writes the part of the page for a machine.
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
