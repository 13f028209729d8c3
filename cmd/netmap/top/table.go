package top

import (
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// column is a column of a table.
type column struct {
	head  string
	right bool // align
	flex  bool // may be cut if there is not enough room
	// rank decides which columns stay if there is not enough room: those of low ranks. Those of rank
	// 0 always stay.
	rank int
}

// cell is a text and how it looks.
type cell struct {
	text string
	look look
}

// look is the meaning of a piece of text. A theme gives it a colour.
type look int

const (
	plain  look = iota
	dim         // nothing to see
	strong      // what the eye should find
	bad         // losses now
	warn        // earlier losses
	good        // traffic
	title       // of a table
	bar         // at the top of the screen
	chosen      // the view that is shown
)

// theme gives a text its look.
type theme func(look, string) string

// noTheme has no colours.
func noTheme(_ look, s string) string { return s }

// table is what a view shows. Each row is a line.
type table struct {
	name    string
	note    string // after the name
	columns []column
	rows    [][]cell
	empty   string // the text for a table without rows
}

const gap = 2 // between columns

// lines formats the table, no wider than width unless that is 0. The first line is the name, the
// second the heads.
func (t *table) lines(width int, th theme) []string {
	name := " " + th(title, t.name)
	if t.note != "" {
		name += "  " + th(dim, t.note)
	}
	text := " " + t.name + "  " + t.note
	if width > 0 && runewidth.StringWidth(text) > width {
		text = cut(" "+t.name, width)
		name = th(title, text)
	}
	lines := []string{pad(name, text, width)}
	if len(t.rows) == 0 {
		text := cut("  "+t.empty, width)
		return append(lines, pad(th(dim, text), text, width))
	}
	shown, widths := t.layout(width)
	heads := make([]cell, len(t.columns))
	for i, c := range t.columns {
		heads[i] = cell{c.head, dim}
	}
	for _, row := range slices.Concat([][]cell{heads}, t.rows) {
		lines = append(lines, t.line(row, shown, widths, width, th))
	}
	return lines
}

// layout chooses the columns to show, and their widths. The most important columns come first, as
// many as there is room for.
func (t *table) layout(width int) (shown []int, widths []int) {
	widths = make([]int, len(t.columns))
	byRank := make([]int, len(t.columns))
	for i, c := range t.columns {
		byRank[i] = i
		widths[i] = runewidth.StringWidth(c.head)
		for _, row := range t.rows {
			widths[i] = max(widths[i], runewidth.StringWidth(row[i].text))
		}
	}
	slices.SortStableFunc(byRank, func(a, b int) int { return t.columns[a].rank - t.columns[b].rank })
	used := 0
	for _, i := range byRank {
		need := widths[i] + gap
		if t.columns[i].flex {
			need = min(need, leastFlex+gap)
		}
		if width == 0 || t.columns[i].rank == 0 || used+need <= width {
			shown = append(shown, i)
			used += need
		}
	}
	slices.Sort(shown)
	if width > 0 {
		t.shrink(shown, widths, width)
	}
	return shown, widths
}

// leastFlex is the least width of a column that is cut.
const leastFlex = 16

// shrink makes flexible columns narrower until all fit, the last column first.
func (t *table) shrink(shown, widths []int, width int) {
	excess := -width
	for _, i := range shown {
		excess += widths[i] + gap
	}
	for _, i := range slices.Backward(shown) {
		if give := min(excess, widths[i]-leastFlex); t.columns[i].flex && give > 0 {
			widths[i] -= give
			excess -= give
		}
	}
}

func (t *table) line(row []cell, shown, widths []int, width int, th theme) string {
	var styled, text strings.Builder
	for n, i := range shown {
		room := widths[i]
		if width > 0 {
			room = min(room, width-gap-runewidth.StringWidth(text.String()))
		}
		if room <= 0 {
			break
		}
		s := cut(clean(row[i].text), room)
		fill := strings.Repeat(" ", room-runewidth.StringWidth(s))
		if t.columns[i].right {
			s = fill + s
		} else if n < len(shown)-1 || width > 0 {
			s += fill
		}
		lead := strings.Repeat(" ", gap)
		text.WriteString(lead + s)
		styled.WriteString(lead + th(row[i].look, s))
	}
	return pad(styled.String(), text.String(), width)
}

// pad fills a styled text with spaces up to the width. Plain is the text without style.
func pad(styled, plain string, width int) string {
	if n := width - runewidth.StringWidth(plain); n > 0 {
		return styled + strings.Repeat(" ", n)
	}
	return styled
}

// cut shortens a text that is too wide. A width of 0 is no limit.
func cut(s string, width int) string {
	if width <= 0 {
		return s
	}
	return runewidth.Truncate(s, width, "…")
}

// cutFront shortens a text that is too wide at its beginning.
func cutFront(s string, width int) string {
	if over := runewidth.StringWidth(s) - width; over > 0 && width > 0 {
		return runewidth.TruncateLeft(s, over+1, "…")
	}
	return s
}

// clean removes control characters, which a terminal would obey: names come from other programs.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
