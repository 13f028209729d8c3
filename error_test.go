//go:build linux

package netmap_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
)

func ExampleError() {
	_, err := netmap.OpenDevice("/nonexistent", "netmap:eth0")
	var e *netmap.Error
	if errors.As(err, &e) && errors.Is(err, syscall.ENOENT) {
		fmt.Println("operation:", e.Op)
		fmt.Println("object:", e.Object)
		fmt.Println("errno:", e.Errno)
		fmt.Println("hint:", e.Hint)
	}
	// Output:
	// operation: open
	// object: /nonexistent
	// errno: no such file or directory
	// hint: start netmap serve, load netmap's kernel module, name another node, or embed the framework
}

// TestErrorIsDocumented tests that Error's comment lists the fields, because go doc shows only the
// comment of an alias.
func TestErrorIsDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "error.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.Lines(file.Decls[len(file.Decls)-1].(*ast.GenDecl).Doc.Text()) {
		if f := strings.Fields(line); len(f) > 3 && strings.HasPrefix(line, "\t") && f[2] == "//" {
			documented = append(documented, f[0]+" "+f[1])
		}
	}
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[netmap.Error]()) {
		fields = append(fields, f.Name+" "+f.Type.String())
	}
	if !reflect.DeepEqual(documented, fields) {
		t.Errorf("error.go lists the fields %q, want %q", documented, fields)
	}
}

// TestErrorsHaveOneShape tests that each error names operation and object, and has an errno.
func TestErrorsHaveOneShape(t *testing.T) {
	f, err := embed.New(embed.Config{Buffers: 4096, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	open := func(name string, options ...netmap.Option) error {
		_, err := f.Open(name, options...)
		return err
	}
	closed, err := f.Open("vale0:z")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, noRegion := embed.New(embed.Config{BufSize: 1})
	_, noMode := embed.New(embed.Config{XDPMode: "fast"})
	for _, tt := range []struct {
		what string
		err  error
		want syscall.Errno
	}{
		{"no such ring", open("vale0:a-7"), syscall.EINVAL},
		{"no such interface", open("netmap:nothing0"), syscall.ENXIO},
		{"too many buffers", open("vale0:b", netmap.Rings(4, 4), netmap.Slots(2048, 2048)),
			syscall.ENOMEM},
		{"no such file", open("vale0:c@extmem=/nonexistent"), syscall.ENOENT},
		{"offsets beyond the buffer", open("vale0:d", netmap.Offsets(1<<20, 0)), syscall.EINVAL},
		{"no such size", noRegion, syscall.EINVAL},
		{"no such mode", noMode, syscall.EINVAL},
		{"closed", closed.TxSync(), syscall.ENXIO},
	} {
		var e *netmap.Error
		if !errors.As(tt.err, &e) || e.Op == "" || !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want an *Error with %v", tt.what, tt.err, tt.want)
		}
	}
}
