package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// module is where the programs to be built are.
const module = "github.com/seed-48afdc40/netmap"

// lab is where measurements take place: a temporary folder with the programs that were built for them.
type lab struct {
	dir  string
	self string // this program, for the helpers
}

func newLab() (*lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "netmap-bench-")
	if err != nil {
		return nil, err
	}
	return &lab{dir: dir, self: self}, nil
}

func (l *lab) close() { os.RemoveAll(l.dir) }

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

// helper is the command line that runs a helper.
func (l *lab) helper(name string, args ...string) []string {
	return append([]string{l.self, helperWord, name}, args...)
}

// netmap is the tool's path. It is built when it is first asked for.
func (l *lab) netmap(ctx context.Context) (string, error) {
	return l.build(ctx, "netmap", "build", module+"/cmd/netmap")
}

// embedTest is the path of the test program with the framework's benchmarks.
func (l *lab) embedTest(ctx context.Context) (string, error) {
	return l.build(ctx, "embed.test", "test", "-c", module+"/embed")
}

// build runs the go command with "-o name" after its first argument, once.
func (l *lab) build(ctx context.Context, name, verb string, args ...string) (string, error) {
	path := l.path(name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{verb, "-o", path}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}
