package cli

import (
	"errors"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/internal/event"
)

// Log has the flags of a command with a log.
type Log struct {
	format  string
	level   slog.Level
	flags   *pflag.FlagSet
	verbose bool
}

const (
	logFormatFlag = "log-format"
	logLevelFlag  = "log-level"
)

var logLevels = []string{"debug", "info", "warn", "error"}

// AddFlags defines --log-format, --log-level and --verbose.
func (l *Log) AddFlags(f *pflag.FlagSet) {
	l.flags = f
	f.Var(NewValue(&l.format, parseLogFormat, "format", ""), logFormatFlag,
		"how the log is written to standard error: "+strings.Join(event.Formats, ", ")+
			" (default journal where that is systemd's journal, else text)")
	f.Var(NewValue(&l.level, parseLogLevel, "level", "info"), logLevelFlag,
		"least that is logged: "+strings.Join(logLevels, ", ")+
			"; debug tells of every request, such as a port that is opened")
	f.BoolVarP(&l.verbose, "verbose", "v", false, "the same as --log-level debug")
}

func parseLogFormat(s string) (string, error) { return oneOf("format", event.Formats, s) }

func parseLogLevel(s string) (level slog.Level, err error) {
	if _, err := oneOf("level", logLevels, s); err != nil {
		return 0, err
	}
	return level, level.UnmarshalText([]byte(s))
}

// Logger returns the log that the flags choose, on f.
func (l *Log) Logger(f *os.File) (*slog.Logger, error) {
	level, format := l.level, l.format
	if l.verbose {
		if l.flags.Changed(logLevelFlag) {
			return nil, errors.New("-v is short for --log-level debug: give one of them")
		}
		level = slog.LevelDebug
	}
	if format == "" && event.GoesToJournal(f) {
		format = event.Journal
	}
	return slog.New(event.NewHandler(f, format, level)), nil
}
