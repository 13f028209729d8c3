package netmap_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The pages about the source name files, folders and declarations in backticks.
var (
	span        = regexp.MustCompile("`([^`\n]+)`")
	fileName    = regexp.MustCompile(`^[\w./-]+\.(go|md)$`)
	folderName  = regexp.MustCompile(`^(internal|cmd|bench|tests|packaging|embed|doc|\.ci)/[\w./-]+$`)
	placeholder = regexp.MustCompile(`/[A-Z]+$`) // internal/KIND
	member      = regexp.MustCompile(`^\w+\.\w+(\.\w+)?$`)

	// A station is a row of a table with a file and what is declared there.
	station = regexp.MustCompile("(?m)^\\| `([\\w./-]+\\.go)` \\| (`.+?) \\|")
	inFile  = regexp.MustCompile("`([\\w.]+)` (?:and `([\\w.]+)` )?(?:in|of)\\s`([\\w./-]+\\.go)`")
	ofFile  = regexp.MustCompile("`([\\w./-]+\\.go)` \\(`([\\w.]+)`\\)")
)

// foreign are packages of others that the pages mention.
var foreign = []string{"cobra", "errors", "net"}

// declarations is what the module declares: names such as Open, Port and Port.Close, of each file,
// of each package by its name, and in all.
type declarations struct {
	files    map[string]map[string]bool
	packages map[string]map[string]bool
	all      map[string]bool
	folders  []string // with Go files
}

func parseModule(t *testing.T) *declarations {
	t.Helper()
	s := &declarations{files: map[string]map[string]bool{}, packages: map[string]map[string]bool{},
		all: map[string]bool{}}
	for _, f := range sourceFiles(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), f.path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		pkg := strings.TrimSuffix(parsed.Name.Name, "_test")
		if s.packages[pkg] == nil {
			s.packages[pkg] = map[string]bool{}
		}
		s.files[f.path] = map[string]bool{}
		for _, name := range declared(parsed) {
			s.files[f.path][name], s.packages[pkg][name], s.all[name] = true, true, true
		}
		if dir := path.Dir(f.path); !slices.Contains(s.folders, dir) {
			s.folders = append(s.folders, dir)
		}
	}
	return s
}

// declared returns the names that a file declares at top level, and the members of its types.
func declared(f *ast.File) (names []string) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			names = append(names, name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, specified(spec)...)
			}
		}
	}
	return names
}

// receiver returns the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// specified returns the names of a declaration, with the fields or methods of a type.
func specified(spec ast.Spec) (names []string) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			names = append(names, n.Name)
		}
	case *ast.TypeSpec:
		names = append(names, spec.Name.Name)
		members := &ast.FieldList{}
		switch of := spec.Type.(type) {
		case *ast.StructType:
			members = of.Fields
		case *ast.InterfaceType:
			members = of.Methods
		}
		for _, field := range members.List {
			for _, n := range field.Names {
				names = append(names, spec.Name.Name+"."+n.Name)
			}
		}
	}
	return names
}

// find returns the path of a file or folder. Pages leave internal/ out.
func find(name string) (found string, ok bool) {
	for _, dir := range []string{".", "internal"} {
		found = path.Join(dir, name)
		if _, err := os.Stat(filepath.FromSlash(found)); err == nil {
			return found, true
		}
	}
	return "", false
}

// hasFile reports whether there is the file. Without a folder, any folder may have it.
func (s *declarations) hasFile(name string) bool {
	if _, ok := find(name); ok || strings.Contains(name, "/") {
		return ok
	}
	for f := range s.files {
		if path.Base(f) == name {
			return true
		}
	}
	return false
}

// declares reports whether a package or a type has such a member.
func (s *declarations) declares(name string) bool {
	first, rest, _ := strings.Cut(name, ".")
	return slices.Contains(foreign, first) || s.packages[first][rest] || s.all[name]
}

// declaredIn reports whether a file declares a name, or a method of that name.
func (s *declarations) declaredIn(file, name string) bool {
	found, _ := find(file)
	for n := range s.files[found] {
		if n == name || strings.HasSuffix(n, "."+name) {
			return true
		}
	}
	return false
}

// missing returns what a page names and the source does not have.
func (s *declarations) missing(page string) (list []string) {
	for i, part := range strings.Split(page, "```") {
		if i%2 == 1 { // a picture or a program
			continue
		}
		for _, m := range span.FindAllStringSubmatch(part, -1) {
			switch name := m[1]; {
			case fileName.MatchString(name):
				if !s.hasFile(name) {
					list = append(list, name)
				}
			case placeholder.MatchString(name):
			case folderName.MatchString(name):
				if _, ok := find(name); !ok {
					list = append(list, name)
				}
			case member.MatchString(name) && !s.declares(name):
				list = append(list, name)
			}
		}
		list = append(list, s.misplaced(part)...)
	}
	return list
}

// misplaced returns names that are not declared in the files for which the page names them.
func (s *declarations) misplaced(part string) (list []string) {
	check := func(file string, names ...string) {
		for _, n := range names {
			if n != "" && !s.declaredIn(file, n) {
				list = append(list, n+" in "+file)
			}
		}
	}
	for _, m := range station.FindAllStringSubmatch(part, -1) {
		for _, n := range span.FindAllStringSubmatch(m[2], -1) {
			check(m[1], n[1])
		}
	}
	for _, m := range inFile.FindAllStringSubmatch(part, -1) {
		check(m[3], m[1], m[2])
	}
	for _, m := range ofFile.FindAllStringSubmatch(part, -1) {
		check(m[1], m[2])
	}
	return list
}

// TestPagesNameWhatThereIs tests that the files, folders and declarations exist which the pages
// about the source name, and that the map of ARCHITECTURE.md has every folder.
func TestPagesNameWhatThereIs(t *testing.T) {
	s := parseModule(t)
	for _, page := range []string{"ARCHITECTURE.md", "HACKING.md", "README.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range s.missing(string(text)) {
			t.Errorf("%s: there is no %s", page, name)
		}
		if page != "ARCHITECTURE.md" {
			continue
		}
		for _, dir := range s.folders {
			if !strings.Contains(string(text), "`"+dir+"`") {
				t.Errorf("%s: the map has no row for %s", page, dir)
			}
		}
	}
}

func TestMissingNamesAreFound(t *testing.T) {
	s := parseModule(t)
	for page, want := range map[string]string{
		"`session/sync.go` `Session.TxSync` `kring.Ring` `errors.Is` `internal/nic`": "",
		"`session/nothing.go`": "session/nothing.go",
		"`nothing_at_all.go`":  "nothing_at_all.go",
		"`internal/nothing`":   "internal/nothing",
		"`kring.Nothing`":      "kring.Nothing",
		"`Session.Nothing`":    "Session.Nothing",
		"| `session/wait.go` | `Session.Wait`, `Session.Arm` |": "Session.Arm in session/wait.go",
		"`targetOf` in `engine/binding.go`":                     "targetOf in engine/binding.go",
		"`engine/kinds.go` (`Register`)":                        "Register in engine/kinds.go",
		"```\n`internal/nothing`\n```":                          "",
	} {
		if got := strings.Join(s.missing(page), " "); got != want {
			t.Errorf("%s lacks %q, want %q", page, got, want)
		}
	}
}
