// Package doc holds the documentation to its word: the programs in it are compiled, and their tests
// run.
package doc

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// blocks are the Go blocks of a page.
func blocks(t *testing.T, page string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split(string(text), "```") {
		if code, ok := strings.CutPrefix(part, "go\n"); ok && i%2 == 1 {
			all = append(all, code)
		}
	}
	return all
}

// overlay gives the go command files that are on no disk, in a package of this module.
func overlay(t *testing.T, files map[string]string) (flag string) {
	t.Helper()
	dir, here := t.TempDir(), must(filepath.Abs("program"))
	replace := map[string]string{}
	for name, code := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(here, name)] = path
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return "-overlay=" + path
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	testutil.Require(t, name, err)
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// The program of the page "write a Go program" compiles, and passes the test that stands there; so
// do the pieces of programs, each in a function of its own.
func TestGoPage(t *testing.T) {
	all := blocks(t, "../../doc/go.md")
	files := map[string]string{}
	pieces := piecesHead
	for i, code := range all {
		switch {
		case strings.Contains(code, "func main()"):
			files["main.go"] = code
		case strings.Contains(code, "func Test"):
			files["main_test.go"] = code
		default:
			pieces += fmt.Sprintf("\nfunc piece%d(ctx context.Context, port, other *netmap.Port, "+
				"name, filter string, out io.Writer, use func(...any)) error {\n%s\nreturn nil }\n",
				i, code)
		}
	}
	files["pieces.go"] = pieces
	if len(files) != 3 || len(all) != 7 {
		t.Fatalf("the page has %d pieces of Go, among them a program and its test: want 7 and both",
			len(all))
	}
	program := filepath.Join(t.TempDir(), "talkers.test")
	run(t, "go", "test", "-vet=off", "-c", "-o", program, overlay(t, files), "./program")
	run(t, program, "-test.run", "TestTalkers")
}

// The kind of port that is shown in ARCHITECTURE.md compiles, and keeps the contract.
func TestArchitecturePage(t *testing.T) {
	all := blocks(t, "../../ARCHITECTURE.md")
	if len(all) != 2 {
		t.Fatalf("the page has %d pieces of Go, want a kind of port and its test", len(all))
	}
	program := filepath.Join(t.TempDir(), "loop.test")
	files := map[string]string{"loop.go": all[0], "loop_test.go": all[1]}
	run(t, "go", "test", "-vet=off", "-c", "-o", program, overlay(t, files), "./program")
	run(t, program, "-test.run", "^TestPort$")
}

const piecesHead = `package main

import (
	"context"
	"fmt"
	"io"

	"github.com/gopacket/gopacket"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/packet"
	"github.com/seed-48afdc40/netmap/source"
)
`
