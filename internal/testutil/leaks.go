package testutil

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// leakWait is how long CheckLeaks waits for descriptors to be closed and goroutines to end.
const leakWait = 2 * time.Second

// CheckLeaks fails the test if at its end there are file descriptors or goroutines that did not
// exist at the call. Call it first, because cleanups run in reverse order. It is not for parallel
// tests, which would see each other's.
func CheckLeaks(t testing.TB) {
	t.Helper()
	checkLeaks(t, leakWait)
}

func checkLeaks(t testing.TB, wait time.Duration) {
	t.Helper()
	startNetpoll(t)
	fds, goroutines := openFiles(t), stacks()
	t.Cleanup(func() {
		var left []string
		for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
			left = append(added(fds, openFiles(t)), added(goroutines, stacks())...)
			if len(left) == 0 || time.Now().After(end) {
				break
			}
		}
		for _, l := range left {
			t.Errorf("leaked %s", l)
		}
	})
}

// startNetpoll makes Go's runtime open its epoll instance and eventfd, which it keeps for good,
// before descriptors are counted.
func startNetpoll(t testing.TB) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
}

// openFiles describes every open file descriptor of the process. The keys consist of the number and
// what it refers to, so that a number that is used again for something else counts as new.
func openFiles(t testing.TB) map[string]string {
	t.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string, len(entries))
	for _, e := range entries {
		// The descriptor with which the directory was read is closed, and its link does not exist
		// any more.
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			files[e.Name()+to] = fmt.Sprintf("file descriptor %s: %s", e.Name(), to)
		}
	}
	return files
}

// stacks describes every goroutine by its number, except those of the runtime.
func stacks() map[string]string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	all := make(map[string]string)
	for _, stack := range strings.Split(string(buf), "\n\n") {
		id, _, _ := strings.Cut(stack, " [") // "goroutine 7 [running]:"
		all[id] = stack
	}
	return all
}

// added returns the entries of after that are not in before, sorted.
func added(before, after map[string]string) []string {
	var news []string
	for key, text := range after {
		if _, ok := before[key]; !ok {
			news = append(news, text)
		}
	}
	slices.Sort(news)
	return news
}
