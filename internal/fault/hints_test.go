package fault_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

func TestHints(t *testing.T) {
	h := fault.Hints{syscall.EPERM: "needs CAP_X"}
	told := fault.New(syscall.EPERM, "inner", "", "it says so itself")
	for _, tt := range []struct {
		cause error
		want  string
	}{
		{syscall.EPERM, "do x: operation not permitted: needs CAP_X"},
		{syscall.EINVAL, "do x: invalid argument"},
		{errors.New("no errno"), "do x: no errno"},
		{told, "do x: inner: operation not permitted: it says so itself"},
	} {
		err := h.Wrap(tt.cause, "do", "x")
		if err.Error() != tt.want || err.Errno != fault.Errno(tt.cause) ||
			!errors.Is(err, tt.cause) {
			t.Errorf("%v (%v), want %s", err, err.Errno, tt.want)
		}
	}
}

// What to do about a failed call depends on the errno. So the packages that ask the kernel about
// interfaces give no hint to all errors of a call, unless the hint follows from other facts.
func TestHintsComeFromTheErrno(t *testing.T) {
	fromOtherFacts := []string{"netmap doctor --restore", "the record is",
		"it is not a record of netmap", "at most 15 characters"}
	calls := 0
	for _, dir := range []string{"nic", "hoststack", "tap", "xsk", "takeover", "ethtool", "ns",
		"netdev"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || !isWrap(call) {
					return true
				}
				calls++
				hint, ok := call.Args[3].(*ast.BasicLit)
				allowed := ok && hint.Value == `""`
				for _, fact := range fromOtherFacts {
					allowed = allowed || ok && strings.Contains(hint.Value, fact)
				}
				if !allowed {
					t.Errorf("%v: one hint for every errno: use fault.Hints",
						set.Position(call.Pos()))
				}
				return true
			})
		}
	}
	if calls == 0 {
		t.Error("no call of fault.Wrap was found")
	}
}

// isWrap reports whether a call is one of fault.Wrap.
func isWrap(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || f.Sel.Name != "Wrap" || len(call.Args) < 4 {
		return false
	}
	pkg, ok := f.X.(*ast.Ident)
	return ok && pkg.Name == "fault"
}
