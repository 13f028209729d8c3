package capture

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/capfile"
)

// writer writes the receiver's blocks to one file after another.
type writer struct {
	blocks blocks
	format capfile.Format
	header []byte
	start  time.Time
	names  names     // used if stdout is nil
	stdout io.Writer // standard output, used instead of files
	losses func() loss

	file io.WriteCloser
}

// open starts a file. It writes the header at once, for programs that wait for it.
func (w *writer) open(start time.Time) (err error) {
	if w.stdout != nil {
		w.file = standard{w.stdout}
	} else if f, err := os.Create(w.names.next(start)); err != nil {
		return err
	} else {
		w.file = f
	}
	_, err = w.file.Write(w.header)
	return err
}

// run writes blocks until the channel is closed. After an error it writes nothing more, and it
// returns the error at the end.
func (w *writer) run() error {
	for b := range w.blocks.full {
		if err := w.write(b); err != nil {
			return err
		}
		w.blocks.free <- b
	}
	return nil
}

func (w *writer) write(b *block) error {
	done := 0
	for _, c := range b.cuts {
		if _, err := w.file.Write(b.data[done:c.at]); err != nil {
			return err
		}
		if err := w.close(c.then); err != nil {
			return err
		}
		if err := w.open(c.start); err != nil {
			return err
		}
		done = c.at
	}
	_, err := w.file.Write(b.data[done:])
	return err
}

// close ends a file.
func (w *writer) close(n totals) error {
	_, err := w.file.Write(w.format.AppendTrailer(nil, w.stats(n)))
	return errors.Join(err, w.abandon())
}

// abandon closes the file without writing a trailer.
func (w *writer) abandon() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	return f.Close()
}

func (w *writer) stats(n totals) capfile.Stats {
	l := w.losses()
	lost := l.port + l.link + n.accepted - n.captured
	return capfile.Stats{
		Start: w.start, End: time.Now(), Received: n.received + l.port + l.link, Accepted: n.accepted,
		Captured: n.captured,
		Dropped:  lost, AllDrops: l.known,
	}
}

// standard is standard output, which stays open.
type standard struct{ io.Writer }

func (standard) Close() error { return nil }

// isHangup reports whether the error means that the reader of our output has ended. The capture
// does not count this as an error.
func isHangup(err error) bool { return errors.Is(err, syscall.EPIPE) }
