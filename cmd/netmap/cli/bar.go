package cli

import (
	"fmt"
	"io"
	"strings"
)

// Bar is a progress bar on the current line of a terminal.
type Bar struct {
	w     io.Writer
	width func() int
}

// NewBar returns a Bar on the terminal w.
func NewBar(w io.Writer) *Bar {
	return &Bar{w, func() int { return TermWidth(w) }}
}

// Draw shows the part of the work that is done, from 0 to 1.
func (b *Bar) Draw(done float64) {
	const around = len("[] 100 %") + 1 // without the last column, in which some terminals wrap
	size := min(b.width()-around, 60)
	if size < 1 {
		return
	}
	full := int(done * float64(size))
	fmt.Fprintf(b.w, "\r[%s%s] %3.0f %%", strings.Repeat("=", full), strings.Repeat(" ", size-full),
		100*done)
}

// Clear removes the bar, so that other text can be written.
func (b *Bar) Clear() { io.WriteString(b.w, clearLine) }
