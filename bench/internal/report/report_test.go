package report

import (
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
)

// example is an outcome with every part that an outcome can have.
func example() contest.Outcome {
	nan := contest.Value(math.NaN())
	return contest.Outcome{
		Name: "race", Title: "A <race> & more", Floor: "bare",
		Metrics: []contest.Metric{{Name: "speed", Unit: "Mpps", Digits: 1},
			{Name: "lost", Unit: "%", Less: true}}, Plots: []int{0, 1},
		Rows: []contest.Row{
			{
				Name: "ours", Ours: true, Peer: "peer", Rounds: [][]contest.Value{{10, 1}, {30, 3}, {20, 2}},
				Goals: []contest.Goal{{Of: "bare", AtLeast: 0.4}, {Of: "peer", AtLeast: 2.5},
					{Metric: 1, AtMost: 9}},
			},
			{Name: "peer", Peer: "peer", Rounds: [][]contest.Value{{10, nan}}},
			{Name: "absent", Missing: "needs a|b"},
			{Name: "broken", Failed: "fell over\nand more"},
			{Name: "shaky", Rounds: [][]contest.Value{{5, 0}}, Failed: "once"},
			{Name: "bare", Rounds: [][]contest.Value{{40, nan}}},
		},
	}
}

func TestTableAsText(t *testing.T) {
	want := `
                       speed, Mpps         lost, %      × floor  × peer       target
ours                   20.0 (10.0 … 30.0)  2 (1 … 3)    0.50     2.00 × peer  ` +
		`≥ 0.4 × bare: met; ≥ 2.5 × peer: missed; ≤ 9 % (lost): met
peer                   10.0 (10.0 … 10.0)  –            0.25
absent                 skipped: needs a|b
broken                 failed: fell over
shaky (1 rounds only)  5.0 (5.0 … 5.0)     0 (0 … 0)    0.12
bare                   40.0 (40.0 … 40.0)  –            1.00
`
	got := tableOf(example()).text()
	if squeeze(got) != squeeze(want[1:]) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	lines := strings.Split(got, "\n")
	for i, l := range lines[1:3] {
		if strings.Index(l, "0.0 (10") != strings.Index(lines[1], "0.0 (10") {
			t.Errorf("line %d is not aligned:\n%s", i+1, got)
		}
	}
}

// squeeze replaces each run of spaces by one.
func squeeze(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }

func TestTableAsMarkdown(t *testing.T) {
	got := strings.Split(tableOf(example()).markdown(), "\n")
	for i, want := range []string{
		"|  | speed, Mpps | lost, % | × floor | × peer | target |",
		"|---|---|---|---|---|---|",
		"| ours | 20.0 (10.0 … 30.0) | 2 (1 … 3) | 0.50 | 2.00 × peer | " +
			"≥ 0.4 × bare: met; ≥ 2.5 × peer: missed; ≤ 9 % (lost): met |",
		"| peer | 10.0 (10.0 … 10.0) | – | 0.25 |  |  |",
		`| absent | skipped: needs a\|b |  |  |  |  |`,
	} {
		if got[i] != want {
			t.Errorf("line %d: %s\nwant %s", i, got[i], want)
		}
	}
}

func TestChartIsWellFormed(t *testing.T) {
	texts, bars := 0, 0
	for d := xml.NewDecoder(strings.NewReader(chartOf(example()).svg())); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, ok := token.(xml.StartElement)
		switch {
		case ok && e.Name.Local == "rect":
			bars++
		case ok && e.Name.Local == "text":
			texts++
		}
	}
	// Four contenders have a speed, two have lost frames. The title and each panel have a text,
	// each bar has two.
	if bars != 6 || texts != 1+2+2*6 {
		t.Errorf("%d bars and %d texts, want 6 and 15", bars, texts)
	}
}

// order is all comparisons.
var order = []contest.Comparison{{Name: "walk", Title: "Walking", Text: "Step by step."},
	{Name: "race", Title: "A <race> & more", Text: "Who is first."}}

func write(t *testing.T, path string, r Record) string {
	t.Helper()
	if err := Write(path, r, order); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc", "speed.md")
	r := Record{Machine{"Fast One 3000", 2, "Linux 6.1"}, Run{Rounds: 3, Seconds: 2},
		[]contest.Outcome{example()}}
	page := write(t, path, r)
	for _, want := range []string{
		"Who is first.", "## Fast One 3000, 2 cores, Linux 6.1", "3 rounds of about 2 seconds",
		"### A <race> & more",
		"(speed/fast-one-3000-2-cores-linux-6.1/race.svg)", "| ours |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	plots := filepath.Join(filepath.Dir(path), "speed", "fast-one-3000-2-cores-linux-6.1")
	if _, err := os.Stat(filepath.Join(plots, "race.svg")); err != nil {
		t.Error(err)
	}
}

// A run on another machine or another kernel, or of only some rows, leaves the rest of the page
// alone.
func TestPageKeepsWhatWasNotMeasured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "speed.md")
	race := example()
	walk := race
	walk.Name, walk.Title = "walk", "Walking"
	gone := race
	gone.Name, gone.Title = "gone", "A comparison that is no more"
	fast := Machine{"Fast One 3000", 2, "Linux 6.1"}
	first := write(t, path, Record{fast, Run{}, []contest.Outcome{race, walk, gone}})
	if strings.Index(first, "### Walking") > strings.Index(first, "### A <race>") {
		t.Errorf("not in order:\n%s", first)
	}

	other := Machine{"Fast One 3000", 2, "Linux 6.2"}
	second := write(t, path, Record{other, Run{}, []contest.Outcome{race}})
	section := first[strings.Index(first, "## Fast One 3000, 2 cores, Linux 6.1"):]
	if !strings.Contains(second, section) ||
		!strings.Contains(second, "## Fast One 3000, 2 cores, Linux 6.2") {
		t.Errorf("another machine changed\n%s\nto\n%s", section, second)
	}

	quick := example()
	quick.Rows[0].Rounds = [][]contest.Value{{77, 7}}
	third := write(t, path, Record{fast, Run{}, []contest.Outcome{quick}})
	for _, want := range []string{"### Walking", "77.0 (77.0 … 77.0)", "Linux 6.2"} {
		if !strings.Contains(third, want) {
			t.Errorf("no %q in\n%s", want, third)
		}
	}
	if strings.Contains(third, "A comparison that is no more") {
		t.Error("a comparison that is no more is kept for ever")
	}
}

func TestBrokenRecordsAreNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "speed.md")
	r := Record{Machine: Machine{"Fast One 3000", 2, "Linux 6.1"}}
	write(t, path, r)
	file := filepath.Join(filepath.Dir(path), "speed", r.Machine.slug()+".json")
	if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, r, order); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want one that names %s", err, file)
	}
}

func TestPageKeepsItsProse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "speed.md")
	r := Record{Machine{"Fast One 3000", 2, "Linux 6.1"}, Run{}, []contest.Outcome{example()}}
	prose := "# Speed\n\nBy hand.\n\n"
	if err := os.WriteFile(path, []byte(prose+marker+"old figures\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if page := write(t, path, r); !strings.HasPrefix(page, prose) ||
		strings.Contains(page, "old figures") {
		t.Errorf("the page became\n%s", page)
	}
	if err := os.WriteFile(path, []byte(prose), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, r, order); err == nil {
		t.Error("a page without the marker was overwritten")
	}
}
