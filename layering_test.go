package netmap_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/seed-48afdc40/netmap"

// mayImport lists what each package may import of this module, and does import. A package that is
// not listed may import nothing but internal/fault. To add a package that needs more, decide here
// where it belongs. The kinds of port (pipe, vale, null, monitor, nic, hoststack) do not import
// each other.
var mayImport = map[string][]string{
	"abi":            {},
	"portname":       {"abi"},
	"internal/fault": {},
	"internal/shm":   {"abi", "internal/fault"},
	"internal/mem":   {"abi", "internal/fault", "internal/shm"},
	"internal/kring": {"abi", "internal/mem", "internal/shm"},
	"internal/port":  {"abi", "internal/kring"},

	// No kind of port imports another.
	"internal/pipe": {"abi", "internal/kring", "internal/mem", "internal/port"},
	"internal/vale": {
		"abi", "internal/fault", "internal/kring", "internal/mem", "internal/port",
		"internal/shm", "internal/vnethdr",
	},
	"internal/null": {"abi", "internal/kring", "internal/mem", "internal/port"},
	"internal/monitor": {
		"abi", "internal/fault", "internal/kring", "internal/mem", "internal/port",
	},
	"internal/nicfacts": {"internal/ethtool", "internal/fault", "internal/xsk"},
	"internal/nic": {
		"abi", "internal/capability", "internal/ethtool", "internal/event", "internal/fault",
		"internal/kring", "internal/mem", "internal/netdev", "internal/nicfacts", "internal/ns",
		"internal/port", "internal/shm", "internal/takeover", "internal/xsk",
	},
	"internal/hoststack": {
		"abi", "internal/capability", "internal/event", "internal/fault", "internal/kring",
		"internal/mem", "internal/ns", "internal/port", "internal/tap", "internal/xsk",
	},

	// The status of a framework is plain data, which the engine fills and tools read.
	"internal/status":    {"internal/fault"},
	"internal/metrics":   {"internal/status"},
	"internal/statusapi": {"internal/fault", "internal/status"},

	"internal/tap": {"internal/fault", "internal/netdev"},

	// Both know nothing of netmap.
	"internal/chardev": {"internal/fault", "internal/placement"},

	"internal/takeover": {"internal/ethtool", "internal/fault", "internal/netdev", "internal/ns"},

	// The code that opens ports and the code that attaches them use the same registry.
	"internal/registry": {
		"abi", "internal/event", "internal/fault", "internal/mem", "internal/netdev",
		"internal/port", "internal/session",
	},

	// Package vale does not use the operating system. This package attaches ports, moves frames and
	// makes interfaces.
	"internal/switches": {
		"abi", "internal/event", "internal/fault", "internal/kring", "internal/mem",
		"internal/netdev", "internal/nic", "internal/ns", "internal/port", "internal/registry",
		"internal/session", "internal/tap", "internal/vale", "internal/wake", "portname",
	},

	"internal/iface": {
		"abi", "internal/fault", "internal/hoststack", "internal/kring", "internal/mem",
		"internal/nic", "internal/port", "internal/tap",
	},

	// Old-API rings work with all kinds of port.
	"internal/oldapi": {
		"abi", "internal/fault", "internal/kring", "internal/mem", "internal/port",
		"internal/shm",
	},

	// A session knows no kind of port, and no registry.
	"internal/session": {
		"abi", "internal/fault", "internal/kring", "internal/mem", "internal/netdev",
		"internal/oldapi", "internal/port", "internal/wake",
	},

	"internal/engine": {
		"abi", "internal/fault", "internal/iface", "internal/kring", "internal/mem",
		"internal/monitor", "internal/netdev", "internal/nic", "internal/null",
		"internal/pipe", "internal/port", "internal/registry", "internal/session",
		"internal/status", "internal/switches", "internal/vale", "internal/vnethdr",
		"portname",
	},
	"internal/control": {
		"abi", "internal/engine", "internal/fault", "internal/ifioctl", "internal/kring",
		"internal/mem", "internal/session", "internal/shm", "internal/wake", "portname",
	},
	"internal/daemon": {
		"internal/chardev", "internal/control", "internal/engine", "internal/event",
		"internal/fault", "internal/ifioctl", "internal/kring", "internal/mem",
		"internal/metrics", "internal/ns", "internal/placement", "internal/status",
		"internal/statusapi", "internal/takeover", "internal/wake",
	},

	// The client library knows no implementation of the framework. embed connects it to the engine.
	"": {
		"abi", "internal/device", "internal/fault", "internal/netdev", "internal/shm",
		"internal/status", "portname",
	},
	"internal/device": {
		"abi", "internal/csb", "internal/fault", "internal/netdev", "internal/nioctl",
		"internal/shm", "internal/status", "internal/wake", "portname",
	},
	"internal/nioctl": {"abi", "internal/fault"},
	"embed": {
		"", "abi", "internal/csb", "internal/engine", "internal/event", "internal/fault",
		"internal/mem", "internal/session", "internal/shm", "internal/status",
		"internal/statusapi", "internal/wake",
	},
	"embed/metrics": {"embed", "internal/metrics"},
	"packet":        {"", "abi", "internal/fault", "internal/filter", "internal/netdev", "portname"},
	"source":        {"", "packet"},
	"netmaptest":    {"", "embed", "internal/fault", "packet", "portname"},
	"internal/csb":  {"abi", "internal/fault", "internal/shm", "internal/wake"},

	"internal/kring/kringtest": {
		"abi", "internal/kring", "internal/mem", "internal/port", "internal/shm",
		"internal/testutil", "internal/wake",
	},
}

// mayImportAll are folders whose packages may import everything, because no package imports them.
var mayImportAll = []string{"cmd/", "tests/", "bench/"}

// standardOnly are packages that import only this module and the standard library.
var standardOnly = []string{
	"abi", "portname", "internal/fault", "internal/mem", "internal/kring", "internal/port",
	"internal/pipe", "internal/vale", "internal/null", "internal/monitor", "internal/oldapi",
}

// light are packages that must not import heavy ones, directly or indirectly: they are for users'
// programs.
var light = []string{"", "embed", "packet", "netmaptest"}

// heavy are the packages that light ones must not import.
var heavy = []string{"github.com/gopacket/", "github.com/prometheus/"}

// unsafeFile matches the names of files that may import unsafe.
var unsafeFile = regexp.MustCompile(`_unsafe(_[a-z0-9]+)?(_test)?\.go$`)

// sourceFile is a Go file with its imports.
type sourceFile struct {
	path, pkg string // relative to the root of the module
	imports   []string
}

func (f sourceFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// sourceFiles returns all Go files of the module, whatever their build constraints.
func sourceFiles(t *testing.T) (all []sourceFile) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && p != "." &&
			(name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		f := sourceFile{path: filepath.ToSlash(p)}
		if f.pkg = path.Dir(f.path); f.pkg == "." {
			f.pkg = ""
		}
		for _, i := range parsed.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, name)
		}
		all = append(all, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 40 {
		t.Fatalf("found %d Go files only", len(all))
	}
	return all
}

// ours returns the package's path in this module.
func ours(imported string) (pkg string, ok bool) {
	if imported == module {
		return "", true
	}
	return strings.CutPrefix(imported, module+"/")
}

func TestPackagesImportOnlyWhatLiesBeneathThem(t *testing.T) {
	for _, f := range sourceFiles(t) {
		free := func(dir string) bool { return strings.HasPrefix(f.pkg+"/", dir) }
		if f.isTest() || slices.ContainsFunc(mayImportAll, free) {
			continue
		}
		allowed, listed := mayImport[f.pkg]
		if !listed {
			allowed = []string{"internal/fault"}
		}
		for _, i := range f.imports {
			pkg, ok := ours(i)
			if ok && !slices.Contains(allowed, pkg) {
				t.Errorf("%s imports %q; package %q may import %q", f.path, pkg, f.pkg, allowed)
			}
			if first, _, _ := strings.Cut(i, "/"); !ok && strings.Contains(first, ".") &&
				slices.Contains(standardOnly, f.pkg) {
				t.Errorf("%s imports %s; package %q needs nothing but the standard library", f.path, i, f.pkg)
			}
		}
	}
}

// TestEveryPermissionIsUsed tests that mayImport has no superfluous permission.
func TestEveryPermissionIsUsed(t *testing.T) {
	used := map[[2]string]bool{}
	for _, f := range sourceFiles(t) {
		for _, i := range f.imports {
			if pkg, ok := ours(i); ok && !f.isTest() {
				used[[2]string{f.pkg, pkg}] = true
			}
		}
	}
	for pkg, allowed := range mayImport {
		for _, below := range allowed {
			if !used[[2]string{pkg, below}] {
				t.Errorf("package %q may import %q, and does not: take the permission back", pkg, below)
			}
		}
	}
}

func TestLightPackagesStayLight(t *testing.T) {
	carries := map[string]bool{}
	var add func(pkg string)
	add = func(pkg string) {
		if !carries[pkg] {
			carries[pkg] = true
			for _, below := range mayImport[pkg] {
				add(below)
			}
		}
	}
	for _, pkg := range light {
		add(pkg)
	}
	for _, f := range sourceFiles(t) {
		for _, i := range f.imports {
			for _, h := range heavy {
				if !f.isTest() && carries[f.pkg] && strings.HasPrefix(i, h) {
					t.Errorf("%s imports %s, which %q shall not bring along", f.path, i, light)
				}
			}
		}
	}
}

func TestUnsafeStandsInItsOwnFiles(t *testing.T) {
	for _, f := range sourceFiles(t) {
		if slices.Contains(f.imports, "unsafe") && !unsafeFile.MatchString(f.path) {
			t.Errorf("%s imports unsafe; only files named *_unsafe.go do", f.path)
		}
		if slices.Contains(f.imports, "C") {
			t.Errorf("%s needs cgo", f.path)
		}
	}
}

// isPort matches how a package declares a kind of port, and keepsContract how it tests that.
var (
	isPort        = regexp.MustCompile(`(?m)^(var|\t)\s*_ port\.Port\s+= `)
	keepsContract = regexp.MustCompile(`\bkringtest\.TestPort\(`)
)

// kindsOfPort returns the packages with a kind of port. iface is not one: it joins two kinds.
func kindsOfPort(t *testing.T) (kinds []string) {
	t.Helper()
	for _, f := range sourceFiles(t) {
		if !f.isTest() && f.pkg != "internal/iface" && !slices.Contains(kinds, f.pkg) &&
			matches(t, f, isPort) {
			kinds = append(kinds, f.pkg)
		}
	}
	if len(kinds) < 6 {
		t.Fatalf("kinds of port are %q; each has to say that it is one: var _ port.Port = ...", kinds)
	}
	return kinds
}

func matches(t *testing.T, f sourceFile, what *regexp.Regexp) bool {
	t.Helper()
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	return what.Match(text)
}

func TestEveryKindOfPortKeepsTheContract(t *testing.T) {
	tested := []string{"internal/hoststack"} // the machine is its other end: see tests/scenario
	for _, f := range sourceFiles(t) {
		if f.isTest() && matches(t, f, keepsContract) {
			tested = append(tested, f.pkg)
		}
	}
	for _, kind := range kindsOfPort(t) {
		if !slices.Contains(tested, kind) {
			t.Errorf("%s has a kind of port, and no test calls kringtest.TestPort", kind)
		}
	}
}

// logCall matches a log line that is composed at the call.
var logCall = regexp.MustCompile(
	`\.(Debug|Info|Warn|Log|LogAttrs|(Debug|Info|Warn|Error)Context)\(.*"|` +
		`slog\.(Error|String|Int|Any|Uint64)\(`)

// TestLogLinesAreEvents tests that all log lines are events, so that internal/event knows all lines
// and their keys.
func TestLogLinesAreEvents(t *testing.T) {
	seen := false
	for _, f := range sourceFiles(t) {
		if f.isTest() || !slices.Contains(f.imports, "log/slog") {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		found := logCall.Find(text)
		switch {
		case f.pkg == "internal/event":
			seen = seen || found != nil
		case found != nil:
			t.Errorf("%s logs by itself: %s", f.path, found)
		}
	}
	if !seen {
		t.Error("internal/event makes no lines")
	}
}

// TestLayersHaveNoCycles tests that mayImport has no cycles.
func TestLayersHaveNoCycles(t *testing.T) {
	var visit func(pkg string, way []string)
	visit = func(pkg string, way []string) {
		if slices.Contains(way, pkg) {
			t.Errorf("%q leads back to itself: %q", pkg, way)
			return
		}
		for _, below := range mayImport[pkg] {
			visit(below, append(way[:len(way):len(way)], pkg))
		}
	}
	for pkg := range mayImport {
		visit(pkg, nil)
	}
}

// TestKindsOfPortDoNotImportEachOther tests that kinds of port share code only through packages
// below both.
func TestKindsOfPortDoNotImportEachOther(t *testing.T) {
	kinds := kindsOfPort(t)
	for _, kind := range kinds {
		for _, below := range mayImport[kind] {
			if slices.Contains(kinds, below) {
				t.Errorf("%s may import %s", kind, below)
			}
		}
	}
}
