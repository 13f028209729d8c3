package mem

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// spareRoom is how many bytes are left to other processes.
const spareRoom = 16 << 20

// Room returns ENOMEM if the machine or this process's control group has less than need bytes left.
// The kernel would grant the memory and then end processes, this one first. A limit that cannot be
// read does not count.
func Room(need uint64) error { return roomIn("/", need) }

// roomIn is Room with the system's files in another directory.
func roomIn(root string, need uint64) error {
	if err := machineRoom(root, need); err != nil {
		return err
	}
	for _, g := range groupsOf(root) {
		if left, ok := g.room(); ok && need+spareRoom > left {
			return tooMuch(need, "control group "+g.name, left)
		}
	}
	return nil
}

// KernelRoom is Room for memory of the kernel, which no control group counts.
func KernelRoom(need uint64) error { return machineRoom("/", need) }

func machineRoom(root string, need uint64) error {
	info := readFile(root, "proc/meminfo")
	left := (valueOf(info, "MemAvailable:") + valueOf(info, "SwapFree:")) << 10
	if len(info) > 0 && need+spareRoom > left {
		return tooMuch(need, "machine", left)
	}
	return nil
}

// Memory returns how many bytes this process may have, by the machine and its control group; 0 if
// it is unknown.
func Memory() uint64 { return memoryIn("/") }

func memoryIn(root string) uint64 {
	most := valueOf(readFile(root, "proc/meminfo"), "MemTotal:") << 10
	for _, g := range groupsOf(root) {
		if limit, ok := g.number(g.limit); ok && (most == 0 || limit < most) {
			most = limit
		}
	}
	return most
}

func tooMuch(need uint64, where string, left uint64) error {
	return fault.New(syscall.ENOMEM, "take memory", "",
		"%d MiB are wanted, and the %s has %d MiB left",
		need>>20, where, left>>20)
}

// group is a control group that limits memory. The files of the two versions have different names.
type group struct {
	dir, name   string
	limit, used string   // names of files
	cacheKeys   []string // in memory.stat: memory that the kernel frees on demand
}

// groupsOf returns the control groups of this process and their ancestors.
func groupsOf(root string) (all []group) {
	for line := range strings.Lines(string(readFile(root, "proc/self/cgroup"))) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		var g group
		switch {
		case part[0] == "0" && part[1] == "":
			g = group{dir: "sys/fs/cgroup", limit: "memory.max", used: "memory.current",
				cacheKeys: []string{"inactive_file", "active_file", "slab_reclaimable"}}
		case part[1] == "memory":
			g = group{dir: "sys/fs/cgroup/memory", limit: "memory.limit_in_bytes",
				used:      "memory.usage_in_bytes",
				cacheKeys: []string{"total_inactive_file", "total_active_file"}}
		default:
			continue
		}
		mount := path.Join(root, g.dir)
		for name := path.Clean("/" + part[2]); ; name = path.Dir(name) {
			g.dir, g.name = path.Join(mount, name), name
			all = append(all, g)
			if name == "/" {
				break
			}
		}
	}
	return all
}

// room returns how many bytes the group has left. ok is false for a group without a limit: the file
// is missing, or contains a word.
func (g group) room() (left uint64, ok bool) {
	limit, limited := g.number(g.limit)
	used, known := g.number(g.used)
	if !limited || !known {
		return 0, false
	}
	stat := readFile(g.dir, "memory.stat")
	for _, key := range g.cacheKeys {
		used -= min(used, valueOf(stat, key))
	}
	return max(limit, used) - used, true
}

func (g group) number(file string) (uint64, bool) {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(readFile(g.dir, file))), 10, 64)
	return n, err == nil
}

func readFile(dir, name string) []byte {
	text, _ := os.ReadFile(path.Join(dir, name))
	return text
}

// valueOf returns the number after key at the start of a line, or 0.
func valueOf(text []byte, key string) uint64 {
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == key {
			n, _ := strconv.ParseUint(string(f[1]), 10, 64)
			return n
		}
	}
	return 0
}
