package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// full is an event in which every field is set.
func full(t *testing.T) Event {
	t.Helper()
	e := Event{Kind: Memory, Err: fault.New(syscall.EBUSY, "open", "eth0", "wait")}
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i).Addr().Interface().(type) {
		case *string:
			*f = "x"
		case *int:
			*f = 1
		case *uint64:
			*f = 1
		case *[]string:
			*f = []string{"a", "b"}
		case *time.Duration:
			*f = time.Second
		case **Kind, *error:
		default:
			t.Fatalf("a field of type %T", f)
		}
	}
	return e
}

func keysOf(e Event) (keys []string) {
	for _, a := range e.Attrs() {
		keys = append(keys, a.Key)
	}
	return keys
}

// doc/monitoring.md explains every key and every event of the log, and no others.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../doc/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	_, log, _ := strings.Cut(string(text), "\n## The log\n")
	log, _, _ = strings.Cut(log, "\n## ")
	keys, events, _ := strings.Cut(log, "| event |")
	first := regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|")
	names := func(table string) (list []string) {
		for _, row := range first.FindAllStringSubmatch(table, -1) {
			for _, name := range strings.Split(row[1], ", ") {
				list = append(list, strings.Trim(name, "`"))
			}
		}
		slices.Sort(list)
		return list
	}
	want := keysOf(full(t))
	slices.Sort(want)
	if got := names(keys); !slices.Equal(got, want) {
		t.Errorf("doc/monitoring.md explains the keys\n%q, want\n%q", got, want)
	}
	want = nil
	for _, k := range Kinds {
		want = append(want, k.Name)
		level := strings.ToLower(k.Level.String())
		row := regexp.MustCompile("(?m)^\\| `" + k.Name + "` \\| " + level + " \\|")
		if !row.MatchString(events) {
			t.Errorf("doc/monitoring.md does not say that %s has the level %v", k.Name, k.Level)
		}
	}
	slices.Sort(want)
	if got := names(events); !slices.Equal(got, want) {
		t.Errorf("doc/monitoring.md explains the events\n%q, want\n%q", got, want)
	}
}

// Zero fields are left out.
func TestEmptyFields(t *testing.T) {
	got := keysOf(Event{Kind: Up, Interface: "eth0"})
	if !slices.Equal(got, []string{KeyEvent, KeyInterface}) {
		t.Errorf("keys %q", got)
	}
}

func TestFormats(t *testing.T) {
	refused := Event{Kind: Refused, PID: 7, Program: "a b\n<3>c", User: "0", Request: "open",
		Port: "x\x1b\"\xff", Err: fault.New(syscall.EBUSY, "open", "x", "")}
	for _, format := range Formats {
		var out bytes.Buffer
		l := slog.New(NewHandler(&out, format, slog.LevelInfo))
		serving := Event{Kind: Serving, Device: "/dev/netmap"}
		for _, e := range []Event{refused, {Kind: Answered, PID: 7}, serving} {
			e.Log(l)
		}
		list := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(list) != 2 {
			t.Fatalf("%s: %q, want two lines", format, list)
		}
		for i, want := range map[string][]string{
			Text: {` level=WARN msg="request refused" event=refused pid=7 program="a b\n<3>c" user=0 ` +
				`request=open port="x\x1b\"\xff" errno=EBUSY error="open`,
				` level=INFO msg=serving event=serving device=/dev/netmap`},
			JSON: {`"level":"WARN","msg":"request refused","event":"refused","pid":7,`, `"msg":"serving"`},
			Journal: {`<4>request refused event=refused pid=7 program="a b\n<3>c" user=0 ` +
				`request=open port="x\x1b\"\xff" errno=EBUSY error="open`,
				`<6>serving event=serving device=/dev/netmap`},
		}[format] {
			if !strings.Contains(list[i], want) ||
				format == Journal && !strings.HasPrefix(list[i], want) {
				t.Errorf("%s: %s, want %s", format, list[i], want)
			}
			if format == JSON && !json.Valid([]byte(list[i])) {
				t.Errorf("no JSON: %s", list[i])
			}
		}
	}
}

func TestPriorities(t *testing.T) {
	for _, k := range Kinds {
		var out bytes.Buffer
		Event{Kind: k}.Log(slog.New(NewHandler(&out, Journal, slog.LevelDebug)))
		want := map[slog.Level]string{
			slog.LevelDebug: "<7>",
			slog.LevelInfo:  "<6>",
			slog.LevelWarn:  "<4>",
			slog.LevelError: "<3>",
		}[k.Level]
		if want == "" || !strings.HasPrefix(out.String(), want+k.Text) {
			t.Errorf("%s: %q, want %s", k.Name, out.String(), want)
		}
	}
}

// Attributes and groups of a logger, which users of slog may set, appear once in a line.
func TestLoggerWithAttributes(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(NewHandler(&out, Journal, slog.LevelInfo)).With("a", 1).WithGroup("g")
	l.Info("hello", "b", 2)
	l.Info("hello again")
	if got := out.String(); got != "<6>hello a=1 g.b=2\n<6>hello again a=1\n" {
		t.Errorf("%q", got)
	}
}

func TestGoesToJournal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	for value, want := range map[string]bool{
		fmt.Sprintf("%d:%d", st.Dev, st.Ino):   true,
		fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false,
		"":                                     false,
		"x":                                    false,
	} {
		t.Setenv("JOURNAL_STREAM", value)
		if got := GoesToJournal(f); got != want {
			t.Errorf("JOURNAL_STREAM=%s: %v, want %v", value, got, want)
		}
	}
}

func TestSentences(t *testing.T) {
	for _, tt := range []struct {
		e    Event
		want string
	}{
		{Event{Kind: Up, Interface: "eth0"}, "eth0: interface is up again"},
		{Event{Kind: Down, Interface: "eth0", Reason: "it is down"}, "eth0: it is down"},
		{Event{Kind: NoParent, Port: "x{1", Err: errors.New("no")}, "x{1: no"},
		{Event{Kind: Serving}, "serving"},
	} {
		if got := tt.e.String(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
