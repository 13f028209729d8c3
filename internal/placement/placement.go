//go:build linux

// Package placement puts threads that wake each other on one core. A wake-up on another core costs
// many times as much. So a client and the thread that answers it are faster on one core, and so are
// two clients that wait for each other. Clients with much work of their own are faster on different
// cores. The package knows threads, cores and counts, and does not know what the threads do.
//
// A Follower belongs to the answering thread, which it binds to the core of its clients. A Mover
// binds clients to a core as long as a measurement shows that it pays.
//
// No thread is put on a core on which it was not allowed to run before. A thread that had a mask of
// its own (CPU affinity) gets it back afterwards.
package placement

import (
	"bytes"
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// none stands for no core.
const none = -1

// only returns the mask of one core.
func only(core int) (s unix.CPUSet) {
	s.Set(core)
	return s
}

// coreOf returns the core of a mask of one core, or none.
func coreOf(s *unix.CPUSet) int {
	core := none
	for i, word := range s {
		switch {
		case word == 0:
		case core != none || word&(word-1) != 0:
			return none
		default:
			core = i*bits.UintSize + bits.TrailingZeros64(uint64(word))
		}
	}
	return core
}

// cores returns the cores of a mask.
func cores(s *unix.CPUSet) (list []int) {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			list = append(list, i*bits.UintSize+bits.TrailingZeros64(uint64(word)))
		}
	}
	return list
}

// common returns the cores that are in both masks.
func common(a, b unix.CPUSet) unix.CPUSet {
	for i := range a {
		a[i] &= b[i]
	}
	return a
}

// thread identifies a thread. Its number may belong to another thread later, but with another
// start.
type thread struct {
	tid   int
	start uint64
}

// stat is the kernel's information about a thread.
type stat struct {
	thread
	core int           // where it ran last
	user time.Duration // how long it has worked outside of the kernel
	all  time.Duration // in and outside of the kernel
}

// tick is the kernel's unit of processor time, the same on every architecture.
const tick = time.Second / 100

// look reads /proc/TID/stat, which exists for every thread.
func look(tid int) (stat, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	return parseStat(tid, string(text))
}

// parseStat parses the fields after the name, which is in parentheses and may contain anything. The
// first of these fields is number 3 in proc_pid_stat(5).
func parseStat(tid int, text string) (stat, error) {
	const utime, stime, startTime, processor = 14 - 3, 15 - 3, 22 - 3, 39 - 3
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	var n [processor + 1]uint64
	for _, i := range []int{utime, stime, startTime, processor} {
		var err error
		if i >= len(f) {
			return stat{}, fmt.Errorf("%q is no /proc/TID/stat", text)
		}
		if n[i], err = strconv.ParseUint(f[i], 10, 64); err != nil {
			return stat{}, err
		}
	}
	user := time.Duration(n[utime]) * tick
	return stat{thread{tid, n[startTime]}, int(n[processor]), user,
		user + time.Duration(n[stime])*tick}, nil
}

// load is how long each core that is online has been idle, by its number.
type load map[int]time.Duration

// lookAtCores reads /proc/stat.
func lookAtCores() (load, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, err
	}
	return parseLoad(text), nil
}

func parseLoad(text []byte) load {
	const idle, wait = 4, 5 // fields of a line
	l := load{}
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) <= wait || !strings.HasPrefix(f[0], "cpu") {
			continue
		}
		core, err := strconv.Atoi(f[0][len("cpu"):])
		if err != nil {
			continue // the line with the sum
		}
		a, _ := strconv.ParseUint(f[idle], 10, 64)
		b, _ := strconv.ParseUint(f[wait], 10, 64)
		l[core] = time.Duration(a+b) * tick
	}
	return l
}
