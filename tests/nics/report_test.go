//go:build linux

package nics

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// result is the result of a scenario on a pair of interfaces.
type result struct {
	Kernel   string
	Card     string // the name of the pair
	Device   string // in QEMU
	Driver   string // in Linux
	Mode     string // of AF_XDP
	Queues   int
	Scenario string
	OK       bool
	Seconds  float64
}

// table returns the tables of all results.
func table(all []result) string {
	isStacked := func(r result) bool { return r.Card == stackedCard }
	var above []result
	for _, r := range all {
		if isStacked(r) {
			above = append(above, r)
		}
	}
	return cardTable(slices.DeleteFunc(slices.Clone(all), isStacked)) + stackedTable(above)
}

// stackedTable has a row for each interface that stands on others, and a column for each kernel.
func stackedTable(all []result) string {
	var kernels []string
	for _, r := range all {
		if !slices.Contains(kernels, r.Kernel) {
			kernels = append(kernels, r.Kernel)
		}
	}
	var b strings.Builder
	b.WriteString("\nThese interfaces stand on others: on veth pairs, " +
		"whose driver runs XDP programs, and on a card.\n\n")
	b.WriteString("| interface | what is tested | mode |")
	for _, k := range kernels {
		version, _, _ := strings.Cut(k, "+")
		b.WriteString(" " + version + " |")
	}
	b.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(kernels)) + "\n")
	for _, s := range stacked {
		mode, ways := "–", ""
		for _, k := range kernels {
			way := "–"
			for _, r := range all {
				if r.Scenario == s.name && r.Kernel == k {
					way, mode = map[bool]string{true: "ok", false: "no"}[r.OK], cmp.Or(r.Mode, mode)
				}
			}
			ways += " " + way + " |"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |%s\n", s.name, s.what, mode, ways)
	}
	return b.String()
}

// cardTable has a row for each card and kernel, and a column for each scenario.
func cardTable(all []result) string {
	var b strings.Builder
	b.WriteString("| kernel | driver | QEMU device | mode | queues |")
	line := "\n|---|---|---|---|---|"
	for _, s := range scenarios {
		fmt.Fprintf(&b, " %s |", s.name)
		line += "---|"
	}
	b.WriteString(line + "\n")
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Card == all[0].Card && all[n].Kernel == all[0].Kernel {
			n++
		}
		b.WriteString(row(all[:n]))
		all = all[n:]
	}
	b.WriteString("\n")
	for _, s := range scenarios {
		fmt.Fprintf(&b, "- **%s**: %s\n", s.name, s.what)
	}
	return b.String()
}

// row returns the row of one card.
func row(all []result) string {
	ways := map[string]string{}
	r := all[0]
	for _, x := range all {
		ways[x.Scenario] = "no"
		if x.OK {
			ways[x.Scenario] = "ok"
		}
		if x.Mode != "" {
			r.Mode = x.Mode
		}
	}
	version, _, _ := strings.Cut(r.Kernel, "+")
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s | %s | %s | %d |", version, r.Driver, r.Device, r.Mode, r.Queues)
	for _, s := range scenarios {
		way, ok := ways[s.name]
		if !ok {
			way = "–"
		}
		fmt.Fprintf(&b, " %s |", way)
	}
	return b.String() + "\n"
}

// The table stands between these lines of doc/nics.md.
const (
	tableStart = "<!-- What follows is written by 'make doc-nics'. -->\n"
	tableEnd   = "<!-- What was written ends here. -->\n"
)

// writeDoc writes the table into the page.
func writeDoc(path, table string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := replaceTable(string(b), table)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func replaceTable(page, table string) (string, error) {
	before, rest, ok := strings.Cut(page, tableStart)
	_, after, end := strings.Cut(rest, tableEnd)
	if !ok || !end {
		return "", fmt.Errorf("the page has no place for the table")
	}
	return before + tableStart + "\n" + table + "\n" + tableEnd + after, nil
}

func TestTable(t *testing.T) {
	var all []result
	for i, s := range scenarios {
		all = append(all, result{Kernel: "6.12.1+deb13-amd64", Card: "one", Device: "e1000",
			Driver: "e1000", Queues: 1, Scenario: s.name, OK: i != 1})
	}
	all[0].Mode = "generic"
	all = append(all, result{Kernel: "6.12.1+deb13-amd64", Card: "two", Device: "igb",
		Driver: "igb", Mode: "zero-copy", Queues: 2, Scenario: "gen", OK: true})
	above := result{Kernel: "6.12.1+deb13-amd64", Card: stackedCard, Scenario: stacked[0].name,
		Mode: "generic", OK: true}
	text := table(append(all, above))
	for _, want := range []string{
		"| " + stacked[0].name + " | " + stacked[0].what + " | generic | ok |",
		"| " + stacked[1].name + " | " + stacked[1].what + " | – | – |",
		"| 6.12.1 | e1000 | e1000 | generic | 1 | ok | no | ok |",
		"| 6.12.1 | igb | igb | zero-copy | 2 | – | ok | – |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	page, err := replaceTable("a\n"+tableStart+"old\n"+tableEnd+"z\n", text)
	if err != nil || !strings.HasPrefix(page, "a\n") || !strings.HasSuffix(page, "z\n") ||
		!strings.Contains(page, text) || strings.Contains(page, "old") {
		t.Errorf("%v\n%s", err, page)
	}
	if b, err := os.ReadFile("../../doc/nics.md"); err != nil {
		t.Error(err)
	} else if _, err := replaceTable(string(b), text); err != nil {
		t.Error(err)
	}
}
