//go:build linux

package nics

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// drivers lists the kernel modules that a guest loads.
var drivers = []string{"e1000", "e1000e", "8139cp", "virtio_net", "vmxnet3", "igb", "tun", "veth"}

// kernel is an unpacked package of a distribution's kernel.
type kernel struct {
	version      string // "6.12.107+deb13-amd64"
	major, minor int
	image        string
	modules      map[string]string // files by name of the module
}

// findKernels looks for kernels in the subdirectories of dir. Each has the unpacked files of one
// kernel's packages.
func findKernels(dir string) (all []kernel, err error) {
	var images []string
	for _, pattern := range []string{"*/boot/vmlinuz-*", "*/usr/lib/modules/*/vmlinuz"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		images = append(images, found...)
	}
	number := regexp.MustCompile(`(\d+)\.(\d+)[^/]*`)
	for _, image := range images {
		root, _, _ := strings.Cut(strings.TrimPrefix(image, dir+"/"), "/")
		m := number.FindStringSubmatch(strings.TrimPrefix(image, filepath.Join(dir, root)))
		if m == nil {
			return nil, fmt.Errorf("%s has no version in its name", image)
		}
		k := kernel{version: m[0], image: image, modules: map[string]string{}}
		k.major, _ = strconv.Atoi(m[1])
		k.minor, _ = strconv.Atoi(m[2])
		err := filepath.WalkDir(filepath.Join(dir, root, "usr/lib/modules", k.version, "kernel"),
			func(path string, _ fs.DirEntry, err error) error {
				if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok {
					k.modules[moduleName(name)] = path
				}
				return err
			})
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b kernel) int {
		return slices.Compare([]int{a.major, a.minor}, []int{b.major, b.minor})
	})
	return all, nil
}

// atLeast compares versions.
func (k kernel) atLeast(major, minor int) bool {
	return k.major > major || k.major == major && k.minor >= minor
}

// moduleName returns the kernel's spelling of a module's name, which may differ from its file's.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// module is a kernel module with its code.
type module struct {
	name string
	code []byte
}

// load appends a module and, before it, the modules on which it depends.
func (k kernel) load(name string, to []module) ([]module, error) {
	name = moduleName(name)
	if slices.ContainsFunc(to, func(m module) bool { return m.name == name }) {
		return to, nil
	}
	path, ok := k.modules[name]
	if !ok {
		return to, fmt.Errorf("kernel %s has no module %s", k.version, name)
	}
	code, err := readModule(path)
	if err != nil {
		return to, err
	}
	needs, err := depends(code)
	if err != nil {
		return to, fmt.Errorf("%s: %w", path, err)
	}
	for _, n := range needs {
		if to, err = k.load(n, to); err != nil {
			return to, err
		}
	}
	return append(to, module{name, code}), nil
}

func readModule(path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".xz":
		return exec.Command("xz", "-dc", path).Output()
	case ".zst":
		return exec.Command("zstd", "-dqc", path).Output()
	}
	return os.ReadFile(path)
}

// depends reads the names of the modules on which a module depends.
func depends(code []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return nil, err
	}
	info, err := f.Section(".modinfo").Data()
	if err != nil {
		return nil, err
	}
	for _, field := range strings.Split(string(info), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

// programs has the programs that guests run, by name; build makes them.
var programs = map[string][]byte{}

// build builds the programs that scenarios run: netmap and C clients.
func build(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	cc := []string{"cc", "-static", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
		"-Werror", "-o"}
	for name, command := range map[string][]string{
		"netmap": {"go", "build", "-ldflags=-s -w", "-o", "netmap", "../../cmd/netmap"},
		"init":   {"go", "test", "-c", "-ldflags=-s -w", "-o", "init", "."},
		"gen":    append(slices.Clone(cc), "gen", "../c/gen.c"),
		"sink":   append(slices.Clone(cc), "sink", "../c/sink.c"),
	} {
		i := slices.Index(command, "-o") + 1
		command[i] = filepath.Join(dir, name)
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		programs[name] = b
	}
}

// image makes the initial RAM disk of a machine.
func image(k kernel, m machine) ([]byte, error) {
	c := &archive{}
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "run", "bin", "modules"} {
		c.add(dir, unix.S_IFDIR|0o755, 0, nil)
	}
	c.add("dev/console", unix.S_IFCHR|0o600, unix.Mkdev(5, 1), nil) // the kernel opens it for init
	for name, b := range programs {
		path := "bin/" + name
		if name == "init" {
			path = name
		}
		c.add(path, unix.S_IFREG|0o755, 0, b)
	}
	var modules []module
	var err error
	names := drivers
	if m.stacked {
		names = slices.Concat(drivers, stackedModules)
	}
	for _, name := range names {
		if modules, err = k.load(name, modules); err != nil {
			return nil, err
		}
	}
	for i, mod := range modules {
		c.add(fmt.Sprintf("modules/%03d-%s", i, mod.name), unix.S_IFREG|0o644, 0, mod.code)
	}
	b, err := json.Marshal(plan{m.cards, m.stacked, *oneCard, *oneTask})
	if err != nil {
		return nil, err
	}
	c.add("plan.json", unix.S_IFREG|0o644, 0, b)
	return c.end(), nil
}

// archive is a cpio archive in the kernel's format
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	b bytes.Buffer
	n int
}

func (a *archive) add(path string, mode uint32, dev uint64, data []byte) {
	a.n++
	fmt.Fprintf(&a.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.n, mode, 0, 0, 1, 0, len(data), 0, 0, unix.Major(dev), unix.Minor(dev), len(path)+1, 0,
		path)
	a.pad()
	a.b.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.b.Len()%4 != 0 {
		a.b.WriteByte(0)
	}
}

func (a *archive) end() []byte {
	a.add("TRAILER!!!", 0, 0, nil)
	return a.b.Bytes()
}
