package report

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
)

// chart is a picture of panels, one above the other.
type chart struct {
	title  string
	panels []panel
}

// panel is the bars of one metric.
type panel struct {
	title string
	bars  []bar
}

// bar is a value with its lowest and highest.
type bar struct {
	label string
	text  string // the value as text
	contest.Summary
	ours bool
}

// The measures of a chart, in pixels.
const (
	chartWidth = 760
	rowHeight  = 24
	barHeight  = 14
	margin     = 16
	charWidth  = 7 // of an average letter: the reader's font is unknown
	valueWidth = 90
)

// style has two sets of colours: a picture in a page follows the reader's preference by itself.
const style = `<style>
text { font: 13px system-ui, sans-serif; fill: #1f2937 }
.title { font-weight: 600; font-size: 15px }
.panel { font-weight: 600 }
.ours { fill: #2563eb }
.peer { fill: #9ca3af }
.range { stroke: #111827; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #e5e7eb }
.ours { fill: #60a5fa }
.peer { fill: #6b7280 }
.range { stroke: #f9fafb }
}
</style>
`

// svg draws the chart.
func (c chart) svg() string {
	var b strings.Builder
	left := c.labelWidth()
	y := margin + rowHeight/2
	fmt.Fprintf(&b, "<text class=\"title\" x=\"%d\" y=\"%d\">%s</text>\n", margin, y,
		html.EscapeString(c.title))
	y += rowHeight / 2
	for _, p := range c.panels {
		y += rowHeight
		fmt.Fprintf(&b, "<text class=\"panel\" x=\"%d\" y=\"%d\">%s</text>\n", margin, y-rowHeight/3,
			html.EscapeString(p.title))
		for _, bar := range p.bars {
			bar.draw(&b, left, y, p.scale(left))
			y += rowHeight
		}
	}
	y += margin
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "+
		"height=\"%d\" "+
		"role=\"img\">\n<title>%s</title>\n%s%s</svg>\n",
		chartWidth, y, chartWidth, y, html.EscapeString(c.title), style, b.String())
}

// labelWidth returns the column at which bars begin.
func (c chart) labelWidth() int {
	longest := 0
	for _, p := range c.panels {
		for _, b := range p.bars {
			longest = max(longest, utf8.RuneCountInString(b.label))
		}
	}
	return margin + min(longest*charWidth+charWidth, chartWidth/2)
}

// scale returns the number of pixels per unit.
func (p panel) scale(left int) float64 {
	most := 0.0
	for _, b := range p.bars {
		most = max(most, b.Max)
	}
	if most == 0 {
		return 0
	}
	return float64(chartWidth-margin-valueWidth-left) / most
}

func (b bar) draw(w *strings.Builder, left, y int, scale float64) {
	class := "peer"
	if b.ours {
		class = "ours"
	}
	base, middle := y+barHeight-2, y+barHeight/2
	at := func(v float64) float64 { return float64(left) + v*scale }
	fmt.Fprintf(w, "<text x=\"%d\" y=\"%d\">%s</text>\n", margin, base, html.EscapeString(b.label))
	fmt.Fprintf(w, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n",
		class, left, y, b.Median*scale, barHeight)
	fmt.Fprintf(w, "<line class=\"range\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", at(b.Min),
		middle, at(b.Max), middle)
	fmt.Fprintf(w, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", at(b.Max)+8, base,
		html.EscapeString(b.text))
}

// chartOf draws an outcome: its contenders, and a panel for each metric to draw.
func chartOf(o contest.Outcome) chart {
	c := chart{title: o.Title}
	for _, m := range o.Plots {
		p := panel{title: o.Metrics[m].Name + ", " + o.Metrics[m].Unit}
		for _, r := range o.Rows {
			if s := r.Of(m); !s.None() {
				p.bars = append(p.bars, bar{r.Name, o.Metrics[m].Number(s.Median), s, r.Ours})
			}
		}
		if len(p.bars) > 0 {
			c.panels = append(c.panels, p)
		}
	}
	return c
}
