package event

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// journal counts the messages that are logged.
type journal struct {
	slog.Handler
	mu      sync.Mutex
	lines   []string
	omitted uint64
	said    map[string]int // number of messages by event
}

func newJournal() *journal {
	return &journal{Handler: slog.DiscardHandler, said: map[string]int{}}
}

func (j *journal) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		switch a.Key {
		case KeyOmitted:
			j.omitted += a.Value.Uint64()
		case KeyEvent:
			j.said[a.Value.String()]++
		}
		return true
	})
	j.lines = append(j.lines, line)
	return nil
}

func refusal(pid int) Event { return Event{Kind: Refused, PID: pid, Program: "evil", User: "1"} }

// A client that makes refused requests all the time does not fill the log. Every refusal is logged
// or counted.
func TestOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		throttle := NewThrottle(slog.New(j))
		const asked = 100_000
		for range asked {
			throttle.Say(refusal(7))
			time.Sleep(time.Millisecond) // in all, 100 s
		}
		throttle.Say(Event{Kind: Refused, PID: 8, Program: "other"})
		throttle.Close()
		if n := j.said["refused"]; n < burst+1 || n > burst+1+int(100*time.Second/pause) {
			t.Errorf("%d refusals were logged", n)
		}
		if !strings.Contains(strings.Join(j.lines, "\n"), "program=other") {
			t.Error("another client's refusal was not logged")
		}
		if all := uint64(j.said["refused"]) + j.omitted; all != asked+1 {
			t.Errorf("%d refusals were logged or counted, want %d", all, asked+1)
		}
		if len(j.lines) > 2*burst+40 {
			t.Errorf("%d lines", len(j.lines))
		}
		if len(throttle.budgets) > subjects {
			t.Errorf("%d budgets", len(throttle.budgets))
		}
	})
}

// Many client processes do not fill the log either, and do not displace messages about interfaces
// and the daemon.
func TestManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		throttle := NewThrottle(slog.New(j))
		const asked = 60_000
		for i := range asked {
			throttle.Say(refusal(1 + i))
			time.Sleep(time.Millisecond) // in all, a minute
		}
		throttle.Say(Event{Kind: Down, Interface: "eth0"})
		throttle.Say(Event{Kind: Stopping})
		throttle.Close()
		if n := j.said["refused"]; n < burstOfAll || n > burstOfAll+61 {
			t.Errorf("%d refusals were logged", n)
		}
		if j.said["down"] != 1 || j.said["stopping"] != 1 {
			t.Errorf("logged: %v", j.said)
		}
		if all := uint64(j.said["refused"]) + j.omitted; all != asked {
			t.Errorf("%d refusals were logged or counted, want %d", all, asked)
		}
		if len(j.lines) > 300 {
			t.Errorf("%d lines", len(j.lines))
		}
	})
}

// An interface that goes up and down all the time is one subject. One that is renamed all the time
// is many subjects, which share a budget.
func TestInterfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, name := range []string{"eth0", "eth%d"} {
			j := newJournal()
			throttle := NewThrottle(slog.New(j))
			for i := range 10_000 {
				n := name
				if strings.Contains(n, "%") {
					n = fmt.Sprintf(n, i)
				}
				throttle.Say(Event{Kind: Renamed, Interface: n})
			}
			throttle.Close()
			if n := j.said["renamed"]; n < burst || n > burstOfAll ||
				uint64(n)+j.omitted != 10_000 {
				t.Errorf("%s: %d were logged, %d left out", name, n, j.omitted)
			}
		}
	})
}

// What was left out is logged soon, also if the client makes no more requests. Then its budget is
// deleted.
func TestQuietClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		throttle := NewThrottle(slog.New(j))
		for range burst + 5 {
			throttle.Say(refusal(7))
		}
		time.Sleep(2*pause + time.Second)
		synctest.Wait()
		if j.omitted != 5 {
			t.Errorf("%d were left out, want 5: %q", j.omitted, j.lines)
		}
		time.Sleep(20 * pause)
		synctest.Wait()
		if throttle.timer != nil || len(throttle.budgets) != 0 {
			t.Errorf("%d budgets are left", len(throttle.budgets))
		}
		throttle.Close()
	})
}

// Messages below the log's level are not charged.
func TestLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		throttle := NewThrottle(slog.New(j))
		for range 1000 {
			throttle.Say(Event{Kind: Answered, PID: 7})
		}
		throttle.Say(refusal(7))
		throttle.Close()
		if len(j.lines) != 1 || j.omitted != 0 {
			t.Errorf("%q", j.lines)
		}
	})
}
