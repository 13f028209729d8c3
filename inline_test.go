package netmap_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPackagesThatUseSharedWordsImportAtomic tests that packages that use the atomic words of
// shared memory import sync/atomic themselves. The words have a type of package abi. Without the
// import, the compiler treats each use as a call, and does not inline functions that contain one.
// That cost 6 ns a batch in programs that move the head of a ring.
func TestPackagesThatUseSharedWordsImportAtomic(t *testing.T) {
	word := regexp.MustCompile(`\.(Head|Cur|Tail|Flags)\.(Load|Store|CompareAndSwap)\(`)
	uses, imports := make(map[string]bool), make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") ||
			strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		dir := filepath.Dir(path)
		uses[dir] = uses[dir] || word.Match(text)
		imports[dir] = imports[dir] || strings.Contains(string(text), `"sync/atomic"`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !uses["."] {
		t.Error("package netmap does not seem to use such words")
	}
	for dir, does := range uses {
		if does && !imports[dir] {
			t.Errorf("%s: uses words of shared memory, but does not import sync/atomic", dir)
		}
	}
}
