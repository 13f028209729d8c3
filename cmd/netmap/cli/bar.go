package cli

import (
	"fmt"
	"io"
	"strings"
)

// Bar is a progress bar on the last line of a terminal.
type Bar struct {
	w     io.Writer
	width func() int
}

// NewBar is a Bar on the terminal w.
func NewBar(w io.Writer) *Bar {
	return &Bar{w, func() int { return TermWidth(w) }}
}

// Draw shows how much is done, from 0 to 1.
func (b *Bar) Draw(done float64) {
	const around = len("[] 100 %") + 1 // the last column stays free: some terminals wrap there
	size := min(b.width()-around, 60)
	if size < 1 {
		return
	}
	full := int(done * float64(size))
	fmt.Fprintf(b.w, "\r[%s%s] %3.0f %%", strings.Repeat("=", full), strings.Repeat(" ", size-full), 100*done)
}

// Clear makes room for a line.
func (b *Bar) Clear() { io.WriteString(b.w, clearLine) }
