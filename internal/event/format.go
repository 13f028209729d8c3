package event

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
)

// Text, JSON and Journal are the formats of a log. Journal is for the standard error of a systemd
// service: lines start with a priority and have no time, because the journal adds the time.
const (
	Text    = "text"
	JSON    = "json"
	Journal = "journal"
)

// Formats are all formats.
var Formats = []string{Text, JSON, Journal}

// NewHandler returns a handler that writes a log. An unknown format means Text.
func NewHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	switch format {
	case JSON:
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	case Journal:
		return newLines(w, level)
	}
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
}

// priority is the priority in syslog(3) of a level.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// lines writes the priority as in sd-daemon(3), the message, and the fields as slog's text handler
// does.
type lines struct {
	*lineBuffer
	fields slog.Handler // writes to lineBuffer.line
}

// lineBuffer holds the line that is being written.
type lineBuffer struct {
	mu   sync.Mutex
	w    io.Writer
	line bytes.Buffer
}

func newLines(w io.Writer, level slog.Level) slog.Handler {
	p := &lineBuffer{w: w}
	drop := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 &&
			(a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}
	return &lines{p,
		slog.NewTextHandler(&p.line, &slog.HandlerOptions{Level: level, ReplaceAttr: drop})}
}

func (h *lines) Enabled(ctx context.Context, l slog.Level) bool { return h.fields.Enabled(ctx, l) }

func (h *lines) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line.Reset()
	fmt.Fprintf(&h.line, "<%d>%s ", priority(r.Level), r.Message)
	if err := h.fields.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.w.Write(h.line.Bytes())
	return err
}

func (h *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lines{h.lineBuffer, h.fields.WithAttrs(attrs)}
}

func (h *lines) WithGroup(name string) slog.Handler {
	return &lines{h.lineBuffer, h.fields.WithGroup(name)}
}

// GoesToJournal reports whether f is connected to systemd's journal. See $JOURNAL_STREAM in
// systemd.exec(5).
func GoesToJournal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
