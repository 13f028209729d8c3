package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// HelperWord, as the first argument, makes this program one of those that take part: a process of
// its own, so that it is measured under the same conditions as the others.
const HelperWord = "helper"

// module is where the programs to be built are.
const module = "github.com/seed-48afdc40/netmap"

// Lab is where measurements take place: a temporary folder with the programs that were built for
// them.
type Lab struct {
	dir  string
	self string // this program, for the helpers
}

func New() (*Lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "netmap-bench-")
	if err != nil {
		return nil, err
	}
	return &Lab{dir: dir, self: self}, nil
}

func (l *Lab) Close() { os.RemoveAll(l.dir) }

func (l *Lab) Path(name string) string { return filepath.Join(l.dir, name) }

// Helper is the command line that runs a helper.
func (l *Lab) Helper(name string, args ...string) []string {
	return append([]string{l.self, HelperWord, name}, args...)
}

// Netmap is the tool's path. It is built when it is first asked for.
func (l *Lab) Netmap(ctx context.Context) (string, error) {
	return l.build(ctx, "netmap", "build", module+"/cmd/netmap")
}

// EmbedTest is the path of the test program with the framework's benchmarks.
func (l *Lab) EmbedTest(ctx context.Context) (string, error) {
	return l.build(ctx, "embed.test", "test", "-c", module+"/embed")
}

// NICTest is the path of the test program with the benchmarks of interfaces without a kernel.
func (l *Lab) NICTest(ctx context.Context) (string, error) {
	return l.build(ctx, "nic.test", "test", "-c", module+"/internal/nic")
}

// build runs the go command with "-o name" after its first argument, once.
func (l *Lab) build(ctx context.Context, name, verb string, args ...string) (string, error) {
	path := l.Path(name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{verb, "-o", path}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}

// Patience is what a measurement may take beyond its length: processes have to start and to end.
const Patience = 20 * time.Second
