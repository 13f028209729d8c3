package cli

import (
	"cmp"
	"io"
	"os"

	"golang.org/x/term"
)

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool { return TermWidth(w) > 0 }

// usualWidth is the width of a terminal that does not know its own, such as a serial console.
const usualWidth = 80

// TermWidth is the width of a terminal in columns, 0 if w is not a terminal.
func TermWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return cmp.Or(width, usualWidth)
}
