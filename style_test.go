package netmap_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// deepest is how deeply ifs, loops, switches and selects may be nested in a test.
const deepest = 4

// TestTestsAreNotNestedDeeply tests the nesting of tests. A deeply nested test is hard to
// understand: make the inner loops functions with names.
func TestTestsAreNotNestedDeeply(t *testing.T) {
	for _, f := range sourceFiles(t) {
		if !f.isTest() {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && nesting(fn) > deepest {
				t.Errorf("%s %s: statements nest %d deep, want %d at most: name the inner part",
					f.path, fn.Name.Name, nesting(fn), deepest)
			}
		}
	}
}

// nesting returns how deeply ifs, loops, switches and selects are nested. An else if does not count
// as nested in the if before it.
func nesting(n ast.Node) (most int) {
	ast.Inspect(n, func(c ast.Node) bool {
		if c == nil || c == n {
			return true
		}
		at := 0
		switch c := c.(type) {
		case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			at = 1
		case *ast.IfStmt:
			if outer, ok := n.(*ast.IfStmt); !ok || outer.Else != ast.Stmt(c) {
				at = 1
			}
		}
		most = max(most, at+nesting(c))
		return false
	})
	return most
}

func TestNestingIsCounted(t *testing.T) {
	for body, want := range map[string]int{
		"":                                      0,
		"for { }":                               1,
		"if a { } else if b { } else if c { }":  1,
		"if a { if b { } } else if c { }":       2,
		"for { switch a { case 1: if b { } } }": 3,
		"f(func() { for range 3 { select { default: } } })": 2,
		"for { f(func() { if a { for { go g() } } }) }":     3,
	} {
		parsed, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() { "+body+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := nesting(parsed); got != want {
			t.Errorf("%s nests %d deep, want %d", body, got, want)
		}
	}
}

// TestHelperFilesHaveNames tests that files with helpers of tests are named for what they help
// with.
func TestHelperFilesHaveNames(t *testing.T) {
	for _, f := range sourceFiles(t) {
		switch filepath.Base(f.path) {
		case "help_test.go", "helper_test.go", "helpers_test.go", "util_test.go", "utils_test.go":
			t.Errorf("%s: name it for what it helps with, such as node_test.go", f.path)
		}
	}
}

// largest is how many lines a package may have, without tests, before its documentation has to say
// in a sentence why it is large.
const largest = 1500

func TestLargePackagesSayWhy(t *testing.T) {
	lines, saysWhy := map[string]int{}, map[string]bool{}
	for _, f := range sourceFiles(t) {
		if f.isTest() {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.path, text,
			parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(f.path)
		lines[dir] += strings.Count(string(text), "\n")
		if why.MatchString(strings.Join(strings.Fields(parsed.Doc.Text()), " ")) {
			saysWhy[dir] = true
		}
	}
	for dir, n := range lines {
		if n > largest && !saysWhy[dir] {
			t.Errorf("%s has %d lines: split it, or let its documentation say that "+
				"it is large because …", dir, n)
		}
	}
}

// why matches the sentence of a package's documentation that says why the package is large.
var why = regexp.MustCompile(`\b(large|larger than other packages) because `)

// widest is how many columns a line may have. A tab is one of them.
const widest = 100

// wide are packages and pages that have longer lines. The list may only get shorter.
var wide = []string{
	"doc/monitoring.md", // a line of the log
}

// mayBeWide matches lines that cannot be broken: tables, pictures, addresses, tags of fields.
var mayBeWide = regexp.MustCompile("^\\s*(\\||!\\[|//go:)|https?://|`[a-z]+:\"")

// generated matches the start of a generated file.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestLinesAreShort(t *testing.T) {
	long := map[string][]string{}
	for _, path := range textFiles(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if generated.Match(text) {
			continue
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if strings.HasSuffix(path, ".md") {
			dir = path
		}
		for i, line := range strings.Split(string(text), "\n") {
			if utf8.RuneCountInString(line) > widest && !mayBeWide.MatchString(line) {
				long[dir] = append(long[dir], path+":"+strconv.Itoa(i+1))
			}
		}
	}
	for dir, places := range long {
		if !slices.Contains(wide, dir) {
			t.Errorf("%s: lines of more than %d columns: %q", dir, widest, places)
		}
	}
	for _, dir := range wide {
		if long[dir] == nil {
			t.Errorf("%s has no long lines any more: remove it from the list", dir)
		}
	}
}

// textFiles returns the Go files and pages of the module, without test data.
func textFiles(t *testing.T) (all []string) {
	for _, f := range sourceFiles(t) {
		all = append(all, f.path)
	}
	for _, pattern := range []string{"*.md", "*/*.md", "*/*/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			if !strings.Contains(p, "testdata") {
				all = append(all, filepath.ToSlash(p))
			}
		}
	}
	return all
}
