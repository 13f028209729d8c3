package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is text in rows and columns. A row of one cell goes on for the whole width.
type table struct {
	head []string
	rows [][]string
}

// table is the outcome as a table: a row a contender.
func (o outcome) table() table {
	t := table{head: []string{""}}
	for _, m := range o.metrics {
		t.head = append(t.head, m.name+", "+m.unit)
	}
	compare := slices.ContainsFunc(o.contenders, func(k contender) bool { return k.name == o.reference })
	if compare {
		t.head = append(t.head, "× "+o.reference)
	}
	targets := slices.ContainsFunc(o.contenders, func(k contender) bool { return len(k.goals) > 0 })
	if targets {
		t.head = append(t.head, "target")
	}
	for i := range o.contenders {
		t.rows = append(t.rows, o.row(i, compare, targets))
	}
	return t
}

func (o outcome) row(i int, compare, targets bool) []string {
	row, r := []string{o.contenders[i].name}, o.results[i]
	switch {
	case r.missing != nil:
		return append(row, "skipped: "+r.missing.Error())
	case len(r.rounds) == 0:
		return append(row, "failed: "+firstLine(r.failed))
	case r.failed != nil:
		row[0] += fmt.Sprintf(" (%d rounds only)", len(r.rounds))
	}
	for m := range o.metrics {
		row = append(row, o.metrics[m].cell(r.of(m)))
	}
	if compare {
		ratio := "–"
		if v := o.againstReference(i, 0); !math.IsNaN(v) {
			ratio = fmt.Sprintf("%.2f", v)
		}
		row = append(row, ratio)
	}
	if targets {
		row = append(row, o.verdicts(i))
	}
	return row
}

func firstLine(err error) string {
	if err == nil {
		return "not run"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// text aligns the columns with spaces. The last cell of a row may be as long as it likes.
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

// markdown is the table as GitHub renders it.
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
