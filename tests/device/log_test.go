//go:build linux

package device

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// events parses a log, which must consist of JSON lines only.
func events(t *testing.T, log string) (names []string, last map[string]any) {
	t.Helper()
	for line := range strings.Lines(log) {
		last = nil
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		names = append(names, last["event"].(string))
	}
	return names, last
}

// The daemon writes nothing but log lines, and only to standard error.
func TestServeLogs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node")
	s := serve(t, path, "--log-format", "json", "--state-dir", t.TempDir())
	sink := s.node.start(nil, "sink", "-i", "vale0:a", "-n", "0").waitReady()
	s.client.cmd.Process.Signal(syscall.SIGTERM)
	s.client.wait()
	sink.kill()
	names, last := events(t, s.client.stderr.String())
	if got := strings.Join(names, " "); got != "memory serving stopping ports-lost stopped" {
		t.Errorf("events %s:\n%s", got, s.client.stderr.String())
	}
	if last["device"] != path || last["uptime"] == nil {
		t.Errorf("the last line is %v", last)
	}
	if len(s.client.result) > 0 {
		t.Errorf("on standard output: %v", s.client.result)
	}
}

// A daemon that cannot start logs that.
func TestServeLogsItsFailure(t *testing.T) {
	testutil.Require(t, "to build the daemon", buildDaemon())
	path := filepath.Join(t.TempDir(), "nosuch", "node")
	cmd := exec.Command(filepath.Join(binDir, "netmap"), "serve", "--path", path, "--log-format",
		"json", "--log-level", "error")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err := cmd.Run()
	names, last := events(t, stderr.String())
	if cmd.ProcessState.ExitCode() != 1 || len(names) != 1 || last["event"] != "failed" ||
		last["errno"] == nil || last["device"] != path {
		t.Errorf("%v: %s", err, stderr.String())
	}
}
