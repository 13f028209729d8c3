package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestSummaries(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		values []float64
		want   summary
	}{
		{[]float64{3, 1, 2}, summary{2, 1, 3}},
		{[]float64{4, 1, 2, 3}, summary{2.5, 1, 4}},
		{[]float64{nan, 5}, summary{5, 5, 5}},
	}
	for _, tt := range tests {
		if got := summarize(tt.values); got != tt.want {
			t.Errorf("summarize(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
	for _, none := range [][]float64{nil, {nan}} {
		if got := summarize(none); !got.none() {
			t.Errorf("summarize(%v) = %v, want none", none, got)
		}
	}
}

// example is an outcome with everything that can be in one.
func example() outcome {
	return outcome{
		comparison: comparison{
			name: "race", title: "A <race> & more", text: "Who is first.", reference: "peer",
			metrics: []metric{{"speed", "Mpps", 1}, {"lost", "%", 0}}, plots: []int{0, 1},
			contenders: []contender{
				{name: "ours", ours: true, goals: []goal{{atLeast: 15}, {atLeast: 2.5, times: true}, {metric: 1, atMost: 9}}},
				{name: "peer"}, {name: "absent"}, {name: "broken"}, {name: "shaky"},
			},
		},
		results: []result{
			{rounds: [][]float64{{10, 1}, {30, 3}, {20, 2}}},
			{rounds: [][]float64{{10, math.NaN()}}},
			{missing: errors.New("needs a|b")},
			{failed: errors.New("fell over\nand more")},
			{rounds: [][]float64{{5, 0}}, failed: errors.New("once")},
		},
	}
}

func TestTableAsText(t *testing.T) {
	want := `
                       speed, Mpps         lost, %      × peer  target
ours                   20.0 (10.0 … 30.0)  2 (1 … 3)    2.00    ≥ 15 Mpps: met; ≥ 2.5 × peer: missed; ≤ 9 %: met
peer                   10.0 (10.0 … 10.0)  –            1.00
absent                 skipped: needs a|b
broken                 failed: fell over
shaky (1 rounds only)  5.0 (5.0 … 5.0)     0 (0 … 0)    0.50
`
	got := example().table().text()
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

// squeeze makes one of any number of spaces.
func squeeze(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }

func TestTableAsMarkdown(t *testing.T) {
	got := strings.Split(example().table().markdown(), "\n")
	for i, want := range []string{
		"|  | speed, Mpps | lost, % | × peer | target |",
		"|---|---|---|---|---|",
		"| ours | 20.0 (10.0 … 30.0) | 2 (1 … 3) | 2.00 | ≥ 15 Mpps: met; ≥ 2.5 × peer: missed; ≤ 9 %: met |",
		"| peer | 10.0 (10.0 … 10.0) | – | 1.00 |  |",
		`| absent | skipped: needs a\|b |  |  |  |`,
	} {
		if got[i] != want {
			t.Errorf("line %d: %s\nwant %s", i, got[i], want)
		}
	}
}

func TestGoalWithoutReference(t *testing.T) {
	o := example()
	o.results[1].rounds = nil
	if got, want := o.verdict(0, goal{atLeast: 1.8, times: true}), "≥ 1.8 × peer: unknown"; got != want {
		t.Errorf("verdict %q, want %q", got, want)
	}
}

func TestChartIsWellFormed(t *testing.T) {
	texts, bars := 0, 0
	for d := xml.NewDecoder(strings.NewReader(example().chart().svg())); ; {
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
	// Three contenders have a speed, two have lost. A text for the title and each panel, two for each bar.
	if bars != 5 || texts != 1+2+2*5 {
		t.Errorf("%d bars and %d texts, want 5 and 13", bars, texts)
	}
}

func TestReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc", "speed.md")
	r := report{machine: machine{cpu: "Fast One 3000", cores: 2}, options: options{rounds: 3, seconds: 2}, outcomes: []outcome{example()}}
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 rounds of about 2 seconds", "- CPU: Fast One 3000, 2 cores", "## A <race> & more", "(speed/race.svg)", "| ours |"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "speed", "race.svg")); err != nil {
		t.Error(err)
	}
}

// -only finds every contender by its full name, and names are unique: files and ratios go by them.
func TestNames(t *testing.T) {
	var all []string
	for _, c := range comparisons() {
		if c.title == "" || c.text == "" || len(c.metrics) == 0 {
			t.Errorf("%s lacks a title, a text or metrics", c.name)
		}
		for _, k := range c.contenders {
			name := c.name + "/" + k.name
			if slices.Contains(all, name) {
				t.Errorf("%s is there twice", name)
			}
			all = append(all, name)
			if got := choose(comparisons(), regexp.MustCompile("^"+regexp.QuoteMeta(name)+"$")); len(got) != 1 || len(got[0].contenders) != 1 {
				t.Errorf("-only %s chooses %v", name, got)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions(nil)
	if err != nil || o.out != "doc/performance.md" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parseOptions([]string{"-only", "veth"}); err != nil || o.out != "" {
		t.Errorf("a part of the measurements would overwrite the whole page: %+v, %v", o, err)
	}
	if o, err := parseOptions([]string{"-only", "veth", "-out", "x.md"}); err != nil || o.out != "x.md" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range [][]string{{"-rounds", "0"}, {"-seconds", "0"}, {"-seconds", "NaN"}, {"extra"}} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%q is fine", bad)
		}
	}
}
