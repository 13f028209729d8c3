package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// HelperWord is the first argument that makes this program a helper. A helper runs in a separate
// process, so that it is measured under the same conditions as other programs.
const HelperWord = "helper"

// module is the module whose programs are built.
const module = "github.com/seed-48afdc40/netmap"

// Lab is a temporary folder with the programs that were built for the measurements.
type Lab struct {
	dir  string
	self string // this program, to run helpers
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

// Helper returns the command line that runs a helper.
func (l *Lab) Helper(name string, args ...string) []string {
	return append([]string{l.self, HelperWord, name}, args...)
}

// Netmap returns the path of the command netmap. The first call builds it.
func (l *Lab) Netmap(ctx context.Context) (string, error) {
	return l.build(ctx, "netmap", "build", module+"/cmd/netmap")
}

// EmbedTest returns the path of the test program with the framework's benchmarks.
func (l *Lab) EmbedTest(ctx context.Context) (string, error) {
	return l.build(ctx, "embed.test", "test", "-c", module+"/embed")
}

// NICTest returns the path of the test program with the benchmarks of interfaces without a kernel.
func (l *Lab) NICTest(ctx context.Context) (string, error) {
	return l.build(ctx, "nic.test", "test", "-c", module+"/internal/nic")
}

// build runs the go command with "-o name" after its first argument, once for each name.
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

// Patience is how much longer than its length a measurement may take: processes have to start and
// end.
const Patience = 20 * time.Second
