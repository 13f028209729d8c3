package top

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sample is a daemon with some of everything, after so many seconds.
func sample(second int) *status.Status {
	n := uint64(second)
	none := map[string]uint64{}
	ring := func(dir string, i int, used uint32, fps, length uint64) status.Ring {
		return status.Ring{Direction: dir, Index: i, Open: true, Slots: 1024, Used: used, Frames: fps * n,
			Bytes: fps * n * length, Drops: none}
	}
	host := ring("rx", 4, 12, 1200, 900)
	host.Host = true
	full := ring("rx", 0, 1001, 1_250_000, 60)
	full.Drops = map[string]uint64{"no-room": 34_567 * n, "bad-buffer": 3}
	closed := status.Ring{Direction: "tx", Index: 1, Slots: 1024, Drops: none}
	s := &status.Status{
		Time: start.Add(time.Duration(second) * time.Second), Started: start.Add(-26 * time.Hour),
		Device: "/dev/netmap", PID: 4711,
		Ports: []status.Port{
			{Name: "eth0", Kind: "nic", NetNS: "4026531840", Detail: "zero-copy", Region: 1, Users: 1,
				Drops: map[string]uint64{"kernel-rx-dropped": 17 * n},
				Rings: []status.Ring{ring("tx", 0, 80, 1_480_000, 60), closed, ring("rx", 0, 3, 812_345, 256),
					ring("rx", 1, 0, 0, 0), host}},
			{Name: "eth0", Kind: "nic", NetNS: "4026532999", Detail: "generic", Region: 1, Users: 1,
				Drops: none, Rings: []status.Ring{ring("rx", 0, 0, 12, 64)}},
			{Name: "vale0:a", Kind: "vale", Region: 1, Users: 1, Drops: none,
				Rings: []status.Ring{ring("tx", 0, 0, 1_284_567, 60), ring("rx", 0, 0, 0, 0)}},
			{Name: "vale0:a-long-name-b/zrt#12", Kind: "monitor", Detail: "zero-copy, both directions",
				Region: 1, Users: 1, Drops: none, Rings: []status.Ring{ring("rx", 0, 500, 99, 1500)}},
			{Name: "vale0:b", Kind: "vale", Region: 1, Users: 2, Drops: none,
				Rings: []status.Ring{ring("tx", 0, 0, 0, 0), full}},
			{Name: "vale0:eth1", Kind: "vale", Detail: "native copy", Region: 1, Attached: "eth1",
				Drops: none, Rings: []status.Ring{ring("tx", 0, 4, 50, 1500), ring("rx", 0, 0, 70, 1400)}},
			{Name: "vale1:tap0", Kind: "vale", Region: 1, Persistent: true, Drops: none,
				Rings: []status.Ring{{Direction: "tx", Slots: 1024, Drops: none}}},
		},
		Switches: []status.Switch{
			{Name: "vale0", Ports: []status.SwitchPort{{Index: 0, Name: "vale0:a"},
				{Index: 1, Name: "vale0:b"}, {Index: 2, Name: "vale0:eth1"}}},
			{Name: "vale1", Ports: []status.SwitchPort{{Index: 0, Name: "vale1:tap0"}}},
		},
		Clients: []status.Client{
			{PID: 812, Command: "suricata", Ports: []string{"eth0", "eth0", "eth0", "vale0:b"}},
			{PID: 4890, Command: "pkt-gen", Ports: []string{"vale0:a"}},
			{PID: 5001, Command: "evil\x1b[2J", Ports: []string{}, Unbound: 1},
		},
		Memory: []status.Region{{ID: 1, Bytes: 142 << 20, Taken: 34 << 20,
			Interfaces: status.Pool{Free: 93, Total: 100}, Rings: status.Pool{Free: 180, Total: 200},
			Buffers: status.Pool{Free: 51_000, Total: 65_470}}},
	}
	sw := &s.Switches[0]
	sw.Addresses = append(sw.Addresses, status.Address{MAC: "02:00:00:00:00:01", Port: 0})
	for i := range 7 {
		sw.Addresses = append(sw.Addresses,
			status.Address{MAC: fmt.Sprintf("52:54:00:00:00:%02x", i), Port: 2})
	}
	return s
}

// A picture depends only on two statuses and the size.
func TestPictures(t *testing.T) {
	for _, size := range []struct{ w, h int }{{80, 24}, {200, 50}} {
		for v := range views {
			s := screen{now: sample(12), before: sample(10), width: size.w, height: size.h, view: v,
				interval: time.Second, theme: noTheme}
			got := s.render()
			checkSize(t, got, size.w, size.h)
			golden(t, fmt.Sprintf("%dx%d-%v.txt", size.w, size.h, v), got)
		}
	}
	s := screen{now: sample(12), before: sample(10), theme: noTheme}
	golden(t, "plain.txt", s.text())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	var b strings.Builder
	for line := range strings.Lines(got) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if *update {
		os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s differs; look at it and run the test with -update if it is better:\n%s", name,
			b.String())
	}
}

func checkSize(t *testing.T, picture string, w, h int) {
	t.Helper()
	lines := strings.Split(picture, "\n")
	if len(lines) > h {
		t.Errorf("%d lines on a screen of %d", len(lines), h)
	}
	for _, l := range lines {
		if n := runewidth.StringWidth(l); n > w {
			t.Errorf("a line of %d characters on a screen of %d: %q", n, w, l)
		}
		if strings.ContainsAny(l, "\x1b\a") {
			t.Errorf("a terminal would obey %q", l)
		}
	}
}

// The picture fits the terminal, whatever its size.
func TestAnySize(t *testing.T) {
	for w := 1; w <= 220; w += 3 {
		for _, h := range []int{1, 2, 5, 6, 10, 24, 40, 60} {
			for v := range views {
				s := screen{now: sample(3), before: sample(2), width: w, height: h, view: v, scroll: 3,
					trouble: strings.Repeat("x", w%2*300), interval: time.Second, theme: noTheme}
				checkSize(t, s.render(), w, h)
			}
		}
	}
}

func TestEmptyDaemon(t *testing.T) {
	s := screen{now: &status.Status{Time: start, Started: start}, width: 80, height: 24,
		theme: noTheme}
	for v, want := range map[view]string{portsView: "no port is open",
		ringsView: "no ring is in use", lostView: "no frame was lost", switchesView: "no VALE switch",
		clientsView: "no program has"} {
		s.view = v
		if got := s.render(); !strings.Contains(got, want) {
			t.Errorf("%v: no %q in\n%s", v, want, got)
		}
	}
}

func TestRates(t *testing.T) {
	c := compare(sample(12), sample(10))
	eth0 := c.ports[0]
	if eth0.tx.frames != 1_480_000 || eth0.tx.bits != 8*60*1_480_000 ||
		eth0.rx.frames != 812_345+1200 || eth0.lost != 17 || eth0.total != 17*12 {
		t.Errorf("%+v", eth0)
	}
	if b := c.ports[4]; b.lost != 34_567 || b.fill() < 0.97 {
		t.Errorf("%+v", b)
	}
	// Two ports with one name, in different namespaces, are two.
	if other := c.ports[1]; other.rx.frames != 12 || other.tx.frames != 0 {
		t.Errorf("%+v", other)
	}
	// A port that was closed and opened again counts from 0; a new one has no rate yet.
	now, before := sample(12), sample(10)
	now.Ports[0].Rings[0].Frames = 500
	before.Ports = append(before.Ports[:2:2], before.Ports[3:]...)
	if c := compare(now, before); c.ports[0].tx.frames != 250 || c.ports[2].tx.frames != 0 {
		t.Errorf("%+v %+v", c.ports[0], c.ports[2])
	}
	if c := compare(now, nil); c.sum.tx.frames != 0 || c.sum.lost != 0 {
		t.Errorf("rates out of one status: %+v", c.sum)
	}
}

func TestOrder(t *testing.T) {
	c := compare(sample(12), sample(10))
	for by, want := range map[order]string{byName: "eth0", byRx: "vale0:b", byTx: "eth0",
		byLost: "vale0:b"} {
		if got := c.sorted(by)[0].port.Name; got != want {
			t.Errorf("by %v: %s first, want %s", by, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.25: "0.2", 9.96: "10.0", 12: "12", 999: "999",
		1000: "1.00k", 9999: "10.0k", 14.88e6: "14.9M", 999_400: "999k", 999_600: "1.00M", 2.5e9: "2.50G",
		1e21: "1000E"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestKeys(t *testing.T) {
	m := newModel(t.Context(), nil, []cli.Found{{Address: "a", Status: sample(10)}}, time.Second)
	m.width, m.height = 80, 10
	for _, step := range []struct {
		key  string
		want string
	}{
		{"tab", "rings 0 name false 1s"}, {"down", "rings 1 name false 1s"},
		{"end", "rings 9 name false 1s"},
		{"pgup", "rings 5 name false 1s"},
		{"2", "rings 0 name false 1s"}, {"shift+tab", "ports 0 name false 1s"},
		{"left", "clients 0 name false 1s"}, {"right", "ports 0 name false 1s"},
		{"s", "ports 0 rx false 1s"}, {"p", "ports 0 rx true 1s"}, {"space", "ports 0 rx false 1s"},
		{"+", "ports 0 rx false 2s"}, {"-", "ports 0 rx false 1s"},
		{"x", "ports 0 rx false 1s"}, {"5", "clients 0 rx false 1s"}, {"up", "clients 0 rx false 1s"},
	} {
		m.key(step.key)
		got := fmt.Sprint(m.view, m.scroll, m.order, m.paused, m.interval)
		if got != strings.Join(strings.Fields(step.want), " ") {
			t.Errorf("after %q: %s, want %s", step.key, got, step.want)
		}
	}
	if m.key("q") == nil {
		t.Error("q does not end it")
	}
}

// When the daemon is gone, the last numbers stay, with the reason. They are not compared with
// another daemon's counters.
func TestAnswers(t *testing.T) {
	m := newModel(t.Context(), nil, []cli.Found{{Address: "a", Status: sample(10)}}, time.Second)
	m.width, m.height = 80, 24
	m.take(answer{err: fmt.Errorf("no daemon is there")})
	if got := m.View().Content; !strings.Contains(got, "no daemon is there") ||
		!strings.Contains(got, "vale0:a") {
		t.Errorf("%s", got)
	}
	m.take(answer{all: []cli.Found{{Address: "a", Status: sample(12)}}})
	if m.trouble != "" || m.before == nil {
		t.Errorf("%q, %v", m.trouble, m.before)
	}
	other := sample(1)
	other.PID = 1
	if m.take(answer{all: []cli.Found{{Address: "a", Status: other}}}); m.before != nil {
		t.Error("two daemons are compared")
	}
}

func TestBadFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--interval 1ms":               "--interval",
		"--interval soon":              "--interval",
		"--once --json":                "--once",
		"--nosuch":                     "--nosuch",
		"extra":                        "extra",
		"--status /nosuch/socket":      "start netmap serve",
		"--status 127.0.0.1:1 --once":  "start netmap serve",
		"--device /nosuch/node --json": "/nosuch/node.sock",
	} {
		cmd := New()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(strings.Fields(args))
		cmd.SetOut(new(bytes.Buffer))
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("top %s: error %v, want one line with %q", args, err, want)
		}
	}
}

// Every reason for which frames are lost is explained, here and in the documentation.
func TestReasons(t *testing.T) {
	doc, err := os.ReadFile("../../../doc/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for why := range kring.Reasons {
		if reasons[why.String()] == "" {
			t.Errorf("top does not explain %v", why)
		}
	}
	for why := range reasons {
		if !strings.Contains(string(doc), why) {
			t.Errorf("doc/monitoring.md does not explain %s", why)
		}
	}
}

// server is a daemon at a unix socket that gives the answer.
func server(t *testing.T, answer http.HandlerFunc) (socket string) {
	t.Helper()
	testutil.CheckLeaks(t)
	socket = filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: answer}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return socket
}

func runTop(t *testing.T, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := New()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestOnce(t *testing.T) {
	asked := 10
	socket := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != status.Path {
			t.Errorf("asked for %s", r.URL.Path)
		}
		json.NewEncoder(w).Encode(sample(asked))
		asked += 2
	})
	out, err := runTop(t, "--once", "--status", socket, "-T", "100ms")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plain.txt", out)
	out, err = runTop(t, "--json", "--status", socket)
	var s status.Status
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil || !reflect.DeepEqual(s, *sample(14)) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestStrangeServers(t *testing.T) {
	for want, answer := range map[string]http.HandlerFunc{
		"is this a netmap daemon?": http.NotFound,
		"cannot be read": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("hello"))
		},
	} {
		if _, err := runTop(t, "--json", "--status", server(t, answer)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// Of several frameworks one is shown, and n shows the next. If the shown one is gone, its numbers
// stay.
func TestSeveral(t *testing.T) {
	found := func(at int, addresses ...string) (all []cli.Found) {
		for i, a := range addresses {
			s := sample(at)
			if a != "daemon" {
				s.Device, s.Program, s.PID = "", "netmap "+a, 100+i
			}
			all = append(all, cli.Found{Address: a, Status: s})
		}
		return all
	}
	m := newModel(t.Context(), nil, found(10, "daemon", "bridge", "gen"), time.Second)
	m.width, m.height = 80, 24
	m.theme = noTheme
	want := func(what string, texts ...string) {
		t.Helper()
		got := m.View().Content
		checkSize(t, got, 80, 24)
		for _, text := range texts {
			if !strings.Contains(got, text) {
				t.Errorf("%s: no %q in\n%s", what, text, got)
			}
		}
	}
	want("the first", "netmap /dev/netmap", "1 of 3: n next")
	m.key("n")
	want("n", "netmap bridge  pid 101", "2 of 3")
	m.take(answer{all: found(12, "daemon", "bridge", "gen")})
	if m.before == nil || m.now.Time != sample(12).Time {
		t.Error("the second answer gives no rates")
	}
	m.take(answer{all: found(14, "daemon", "gen")})
	want("it ends", "netmap bridge  pid 101", "netmap bridge is gone", "n shows the next one")
	m.key("n")
	want("n", "netmap /dev/netmap", "1 of 2")
	m.key("N")
	want("N", "netmap gen", "2 of 2")
	m.key("n")
	m.take(answer{all: found(16, "daemon")})
	want("one is left", "netmap /dev/netmap")
	if got := m.View().Content; strings.Contains(got, "n next") {
		t.Errorf("there is no next one:\n%s", got)
	}
	m.key("n")
	want("n of one", "netmap /dev/netmap")

	var out bytes.Buffer
	if err := writeJSON(&out, found(10, "daemon", "bridge")); err != nil ||
		strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v, %s", err, &out)
	}
}

// A framework inside a command has no device that clients could open.
func TestClientsOfCommand(t *testing.T) {
	for program, want := range map[string]string{"netmap gen": "inside this program",
		"": "has the device open"} {
		if got := clientTable(&status.Status{Program: program}, 80).empty; !strings.Contains(got, want) {
			t.Errorf("program %q: %q", program, got)
		}
	}
}
