package cli

import (
	"cmp"
	"io"
	"os"

	"golang.org/x/term"
)

// IsTerminal says whether somebody watches what is written.
func IsTerminal(w io.Writer) bool { return TermWidth(w) > 0 }

// usualWidth is that of a terminal that does not know its own, as a serial console.
const usualWidth = 80

// TermWidth is the width of the terminal in columns, 0 if it is none.
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
