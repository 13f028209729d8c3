package metrics

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/seed-48afdc40/netmap/internal/status"
)

var update = flag.Bool("update", false, "rewrite the table in doc/monitoring.md")

var sample = status.Status{
	Ports: []status.Port{
		{Name: "eth0", Kind: "nic", NetNS: "1", Detail: "zero-copy", Users: 2,
			Drops: map[string]uint64{"kernel-rx-dropped": 4}, Rings: []status.Ring{
				{Direction: "tx", Slots: 1024, Used: 5, Frames: 10, Bytes: 600,
					Drops: map[string]uint64{"bad-length": 1}},
				{Direction: "rx", Index: 4, Host: true, Slots: 1024, Frames: 1 << 40, Bytes: 1 << 50}}},
		{Name: "eth0", Kind: "nic", NetNS: "2", Rings: []status.Ring{{Direction: "tx"}}},
	},
	Switches: []status.Switch{{Name: "vale0", Ports: make([]status.SwitchPort, 3),
		Addresses: make([]status.Address, 7)}},
	Clients: make([]status.Client, 2),
	Memory: []status.Region{{ID: 1, Taken: 4 << 20, Buffers: status.Pool{Free: 6, Total: 9}},
		{ID: 2}},
}

func scrape(t *testing.T, s status.Status) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(func() status.Status { return s }).ServeHTTP(w,
		httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestScrape(t *testing.T) {
	got := scrape(t, sample)
	for _, want := range []string{
		`netmap_memory_bytes{region="1"} 4.194304e+06`,
		`netmap_ring_frames_total{direction="tx",netns="1",port="eth0",ring="0"} 10`,
		`netmap_ring_frames_total{direction="tx",netns="2",port="eth0",ring="0"} 0`,
		`netmap_ring_bytes_total{direction="rx",netns="1",port="eth0",ring="4^"} 1.125899906842624e+15`,
		`netmap_drops_total{direction="",netns="1",port="eth0",reason="kernel-rx-dropped",ring=""} 4`,
		`netmap_drops_total{direction="tx",netns="1",port="eth0",reason="bad-length",ring="0"} 1`,
		`netmap_ring_used_slots{direction="tx",netns="1",port="eth0",ring="0"} 5`,
		`netmap_port_users{netns="1",port="eth0"} 2`,
		`netmap_port_info{attached="",detail="zero-copy",kind="nic",netns="1",port="eth0"} 1`,
		`netmap_switch_ports{switch="vale0"} 3`, `netmap_switch_addresses{switch="vale0"} 7`,
		`netmap_clients 2`,
		`netmap_memory_free_objects{pool="buffers",region="1"} 6`,
		`netmap_memory_objects{pool="buffers",region="1"} 9`,
		"process_open_fds ", "go_goroutines ",
	} {
		if !strings.Contains(got, want+"\n") && !strings.Contains(got, "\n"+want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(scrape(t, status.Status{}), "netmap_ring") {
		t.Error("rings without ports")
	}
}

// Names and help texts follow Prometheus' conventions.
func TestConventions(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrape(t, sample))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "netmap_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

const doc = "../../doc/monitoring.md"

// doc/monitoring.md has the table of metrics that this package has.
func TestDocumentedMetrics(t *testing.T) {
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it is |\n|---|---|---|---|\n")
	for _, m := range table {
		kind := "gauge"
		if m.kind == counter {
			kind = "counter"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, kind, strings.Join(m.labels, ", "),
			m.help)
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)\| metric \|.*?\n\n`)
	if *update {
		text = found.ReplaceAll(text, []byte(b.String()+"\n"))
		if err := os.WriteFile(doc, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(found.Find(text)); got != b.String()+"\n" {
		t.Errorf("doc/monitoring.md has\n%s\nwant\n%s\nrun this test with -update", got, b.String())
	}
}

// doc/monitoring.md names every field of the status.
func TestDocumentedFields(t *testing.T) {
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		if typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct ||
			typ.PkgPath() != reflect.TypeFor[status.Status]().PkgPath() || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%s.%s is not in doc/monitoring.md", typ.Name(), name)
			}
			visit(typ.Field(i).Type)
		}
	}
	visit(reflect.TypeFor[status.Status]())
	if len(seen) != 9 {
		t.Errorf("%d types were looked at", len(seen))
	}
}
