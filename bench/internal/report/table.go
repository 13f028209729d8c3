package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
)

// table is text in rows and columns. A row of one cell takes the whole width.
type table struct {
	head []string
	rows [][]string
}

// tableOf makes a table of an outcome: one row per contender.
func tableOf(o contest.Outcome) table {
	t := table{head: []string{""}}
	for _, m := range o.Metrics {
		t.head = append(t.head, m.Name+", "+m.Unit)
	}
	columns := extraColumns(o)
	for _, c := range columns {
		t.head = append(t.head, c.head)
	}
	for _, r := range o.Rows {
		t.rows = append(t.rows, rowOf(o, r, columns))
	}
	return t
}

// column is a column after those of the metrics.
type column struct {
	head string
	cell func(contest.Row) string
}

// extraColumns returns the columns that are not empty.
func extraColumns(o contest.Outcome) (all []column) {
	if o.Floor != "" {
		all = append(all, column{"× floor",
			func(r contest.Row) string { return ratio(o.Against(r, o.Floor)) }})
	}
	if slices.ContainsFunc(o.Rows, func(r contest.Row) bool { return r.Peer != "" }) {
		all = append(all, column{"× peer", func(r contest.Row) string {
			if r.Peer == "" || r.Peer == r.Name {
				return ""
			}
			return ratio(o.Against(r, r.Peer)) + " × " + r.Peer
		}})
	}
	if slices.ContainsFunc(o.Rows, func(r contest.Row) bool { return len(r.Goals) > 0 }) {
		all = append(all, column{"target", o.Verdicts})
	}
	return all
}

func ratio(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.2f", v)
}

func rowOf(o contest.Outcome, r contest.Row, columns []column) []string {
	row := []string{r.Name}
	switch {
	case r.Missing != "":
		return append(row, "skipped: "+r.Missing)
	case len(r.Rounds) == 0:
		return append(row, "failed: "+firstLine(r.Failed))
	case r.Failed != "":
		row[0] += fmt.Sprintf(" (%d rounds only)", len(r.Rounds))
	}
	for i, m := range o.Metrics {
		row = append(row, m.Cell(r.Of(i)))
	}
	for _, c := range columns {
		row = append(row, c.cell(r))
	}
	return row
}

func firstLine(text string) string {
	if text == "" {
		return "not run"
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// text aligns the columns with spaces. The last cell of a row may have any length.
func (t table) text() string {
	rows := append([][]string{t.head}, t.rows...)
	widths := make([]int, len(t.head))
	for _, row := range rows {
		for i, c := range row {
			if i < len(row)-1 || len(row) == len(t.head) {
				widths[i] = max(widths[i], utf8.RuneCountInString(c))
			}
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, c := range row {
			line += c + strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(c))+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// markdown formats the table for GitHub.
func (t table) markdown() string {
	var b strings.Builder
	line := func(cells []string) {
		for i := range t.head {
			cell := ""
			if i < len(cells) {
				cell = strings.ReplaceAll(cells[i], "|", `\|`)
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	line(t.head)
	b.WriteString(strings.Repeat("|---", len(t.head)) + "|\n")
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}
