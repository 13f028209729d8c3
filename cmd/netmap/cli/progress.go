package cli

import (
	"fmt"
	"io"
	"time"
)

// clearLine moves to the start of a terminal's line, and clears the line.
const clearLine = "\r\x1b[K"

// Progress writes a text about progress every second, until end is called. On a terminal it
// overwrites one line; elsewhere it writes lines, if verbose is set.
func Progress(w io.Writer, verbose bool, text func() string) (end func()) {
	terminal := IsTerminal(w)
	if !terminal && !verbose {
		return func() {}
	}
	return progress(w, terminal, time.Second, text)
}

func progress(w io.Writer, terminal bool, every time.Duration, text func() string) (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-done:
				if terminal {
					io.WriteString(w, clearLine)
				}
				return
			}
			if terminal {
				fmt.Fprint(w, clearLine, "netmap: ", text())
			} else {
				fmt.Fprintln(w, "netmap:", text())
			}
		}
	}()
	return func() { close(done); <-ended }
}
