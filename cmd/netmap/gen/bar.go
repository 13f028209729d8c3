package gen

import (
	"fmt"
	"io"
	"strings"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

// bar is a progress bar on the last line of a terminal.
type bar struct {
	w     io.Writer
	width func() int
}

func newBar(w io.Writer) *bar {
	return &bar{w, func() int { return cli.TermWidth(w) }}
}

// draw shows how much is done, from 0 to 1.
func (b *bar) draw(done float64) {
	const around = len("[] 100 %") + 1 // the last column stays free: some terminals wrap there
	size := min(b.width()-around, 60)
	if size < 1 {
		return
	}
	full := int(done * float64(size))
	fmt.Fprintf(b.w, "\r[%s%s] %3.0f %%", strings.Repeat("=", full), strings.Repeat(" ", size-full), 100*done)
}

// clear makes room for a line.
func (b *bar) clear() { fmt.Fprint(b.w, "\r\x1b[K") }
