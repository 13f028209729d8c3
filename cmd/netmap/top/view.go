package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/seed-48afdc40/netmap/internal/status"
)

// view is one of the pages.
type view int

const (
	portsView view = iota
	ringsView
	lostView
	switchesView
	clientsView
	views
)

func (v view) String() string {
	return [views]string{"ports", "rings", "lost", "switches", "clients"}[v]
}

// screen is everything that the picture depends on.
type screen struct {
	now, before   *status.Status // before may be nil
	width, height int            // in characters
	view          view
	order         order
	scroll        int // lines of the page above the screen
	paused        bool
	interval      time.Duration
	trouble       string // why there are no newer numbers
	// place is the index of the framework that is shown, and places is how many there are.
	place, places int
	theme         theme
}

// A screen of this size shows all pages at once on its first page.
const (
	wideWidth  = 150
	wideHeight = 40
)

func (s *screen) wide() bool { return s.width >= wideWidth && s.height >= wideHeight }

// chrome is the number of lines above and below a page.
const chrome = 5

// render draws the screen: exactly height lines, none wider than width.
func (s *screen) render() string {
	lines := s.head()
	page, room := s.page(), max(s.height-chrome, 1)
	top := min(s.scroll, max(len(page)-room, 0))
	page = page[top:]
	if len(page) > room {
		page = page[:room]
	}
	lines = append(lines, page...)
	for len(lines) < s.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, s.foot(len(s.page()), top, room))
	if len(lines) > s.height {
		lines = lines[:s.height]
	}
	return strings.Join(lines, "\n")
}

// lastScroll is the largest scroll of the page.
func (s *screen) lastScroll() int {
	return max(len(s.page())-max(s.height-chrome, 1), 0)
}

// head is the lines above the page.
func (s *screen) head() []string {
	c := compare(s.now, s.before)
	left := fmt.Sprintf(" %s  pid %d  up %s", clean(s.now.Title()), s.now.PID,
		age(s.now.Time.Sub(s.now.Started)))
	right := s.now.Time.Format("15:04:05 ")
	if s.paused {
		right = "PAUSED  " + right
	}
	if s.places > 1 {
		right = fmt.Sprintf("%d of %d: n next  %s", s.place+1, s.places, right)
	}
	lines := []string{s.theme(bar, between(left, right, s.width))}

	left = fmt.Sprintf(" tx %s pps %sbit/s   rx %s pps %sbit/s   lost %s/s",
		number(c.sum.tx.frames), number(c.sum.tx.bits), number(c.sum.rx.frames), number(c.sum.rx.bits),
		number(c.sum.lost))
	right = ""
	if len(s.now.Memory) > 0 {
		b := s.now.Memory[0].Buffers
		right = fmt.Sprintf("buffers %s %s/%s ", gauge(share(b), gaugeWidth).text,
			number(float64(b.Used())), number(float64(b.Total)))
	}
	if runewidth.StringWidth(left+right) >= s.width {
		right = ""
	}
	lines = append(lines, s.theme(strong, between(left, right, s.width)))
	return append(lines, s.tabs(), "")
}

// tabs names the views.
func (s *screen) tabs() string {
	var styled strings.Builder
	room := s.width
	for v := range views {
		text := fmt.Sprintf(" %d %v ", v+1, v)
		if v == portsView && s.wide() {
			text = " 1 all "
		}
		as := dim
		if v == s.view {
			as = chosen
		}
		if room -= len(text); room < 0 {
			break
		}
		styled.WriteString(s.theme(as, text))
	}
	return styled.String()
}

// between puts one text at the left end and one at the right end of a line.
func between(left, right string, width int) string {
	left = cut(left, max(width-runewidth.StringWidth(right), 0))
	return cut(left+strings.Repeat(" ",
		max(width-runewidth.StringWidth(left)-runewidth.StringWidth(right), 0))+right, width)
}

// foot is the last line: keys, or what is wrong.
func (s *screen) foot(lines, top, room int) string {
	if s.trouble != "" {
		return s.theme(bad, cutFront(" "+clean(s.trouble), s.width)) // the advice is at the end
	}
	left := fmt.Sprintf(" q quit  tab view  s sort (%v)  p pause  +- every %v  ↑↓ scroll", s.order,
		s.interval)
	right := ""
	if lines > room {
		right = fmt.Sprintf("%d-%d of %d ", top+1, min(top+room, lines), lines)
	}
	return s.theme(dim, between(left, right, s.width))
}

// age formats a duration in two units.
func age(d time.Duration) string {
	d = d.Round(time.Second)
	day, hour, minute := d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60
	switch {
	case day > 0:
		return fmt.Sprintf("%dd%dh", day, hour)
	case hour > 0:
		return fmt.Sprintf("%dh%dm", hour, minute)
	case minute > 0:
		return fmt.Sprintf("%dm%ds", minute, d/time.Second%60)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// page is all lines of the view.
func (s *screen) page() []string {
	if s.view == portsView && s.wide() {
		return s.all()
	}
	t := s.table(s.view, s.width)
	return t.lines(s.width, s.theme)
}

// table is the table of a view.
func (s *screen) table(v view, width int) table {
	c := compare(s.now, s.before)
	switch v {
	case ringsView:
		return c.ringTable(s.order)
	case lostView:
		return c.dropTable()
	case switchesView:
		return c.switchTable(s.now.Switches, width)
	case clientsView:
		return clientTable(s.now, width)
	}
	return c.portTable(s.order)
}

// all puts everything side by side: rates at the left, clients and switches at the right.
func (s *screen) all() []string {
	leftWidth := s.width * 57 / 100
	rightWidth := s.width - leftWidth - 3
	room := s.height - chrome
	memory := memoryTable(s.now.Memory)
	left := s.stack(leftWidth, room, s.table(portsView, leftWidth), s.table(ringsView, leftWidth))
	right := s.stack(rightWidth, room, s.table(switchesView, rightWidth),
		s.table(clientsView, rightWidth), s.table(lostView, rightWidth), memory)
	lines := make([]string, 0, room)
	blank := strings.Repeat(" ", leftWidth)
	for i := range max(len(left), len(right)) {
		l, r := blank, ""
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		lines = append(lines, l+s.theme(dim, " │ ")+r)
	}
	return lines
}

// stack puts tables one below the other. If there is not enough room, it cuts the longest, and
// marks them.
func (s *screen) stack(width, room int, tables ...table) (lines []string) {
	parts := make([][]string, len(tables))
	for i := range tables {
		parts[i] = tables[i].lines(width, s.theme)
		room -= len(parts[i]) + 1
	}
	for room < -1 { // the last one needs no empty line after it
		longest := 0
		for i := range parts {
			if len(parts[i]) > len(parts[longest]) {
				longest = i
			}
		}
		p := parts[longest]
		if len(p) <= 4 {
			break
		}
		rest := fmt.Sprintf("  … more: press %d", min(s.number(tables[longest].name), int(views)))
		p = append(p[:len(p)-2:len(p)-2], pad(s.theme(dim, rest), rest, width))
		parts[longest] = p
		room++
	}
	for i, p := range parts {
		if i > 0 {
			lines = append(lines, strings.Repeat(" ", width))
		}
		lines = append(lines, p...)
	}
	return lines
}

// number is the key of the view with that table.
func (s *screen) number(name string) int {
	for v := range views {
		if strings.EqualFold(v.String(), name) {
			return int(v) + 1
		}
	}
	return 1
}

// text is everything as plain text without limits of width and length: for pipes and files.
func (s *screen) text() string {
	c := compare(s.now, s.before)
	var b strings.Builder
	fmt.Fprintf(&b, "%s  pid %d  up %s  %s\n", clean(s.now.Title()), s.now.PID,
		age(s.now.Time.Sub(s.now.Started)), s.now.Time.Format(time.RFC3339))
	for _, t := range []table{c.portTable(s.order), c.ringTable(s.order), c.dropTable(),
		c.switchTable(s.now.Switches, 100), clientTable(s.now, 100), memoryTable(s.now.Memory)} {
		b.WriteString("\n")
		for _, line := range t.lines(0, noTheme) {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	return b.String()
}
