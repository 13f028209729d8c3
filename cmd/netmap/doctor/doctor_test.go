package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func TestMachineChecks(t *testing.T) {
	const (
		allRights = ^uint64(0)
		status    = "Name:\tnetmap\nCapPrm:\t0000000000000000\nCapEff:\t0000000000003000\n"
	)
	for name, tt := range map[string]struct {
		got  finding
		want level
		text string // that is in it
	}{
		"kernel":               {checkKernel("6.12.41+deb13-amd64"), fine, "6.12.41"},
		"kernel 6.9":           {checkKernel("6.9.0"), fine, ""},
		"kernel 6.8":           {checkKernel("6.8.12-generic"), bad, "package embed"},
		"kernel 10.0":          {checkKernel("10.0"), fine, ""},
		"kernel 5.9":           {checkKernel("5.9.1"), bad, "5.10"},
		"kernel of no version": {checkKernel(""), warn, "no version"},

		"rights":    {checkRights(allRights), fine, ""},
		"no rights": {checkRights(0), bad, "CAP_BPF"},
		"some": {checkRights(parseRights(status)), bad,
			"missing: CAP_SYS_ADMIN (the device node, other network namespaces), " +
				"CAP_SYS_PTRACE (requests of programs that use the device), CAP_BPF"},

		// CAP_SYS_ADMIN includes it
		"all but CAP_BPF": {checkRights(allRights &^ (1 << capBPF)), fine, ""},

		"passthrough":                {checkPassthrough(nil), fine, "tried"},
		"passthrough without rights": {checkPassthrough(syscall.EPERM), bad, "not tried"},
		"no FUSE": {checkPassthrough(fmt.Errorf("open: %w", syscall.ENOENT)), bad,
			"/dev/fuse"},
		"old FUSE": {checkPassthrough(syscall.EOPNOTSUPP), bad, "CONFIG_FUSE_PASSTHROUGH"},

		"socket":    {checkXDPSocket(nil), fine, ""},
		"no AF_XDP": {checkXDPSocket(unix.EAFNOSUPPORT), bad, "CONFIG_XDP_SOCKETS"},

		"BPF":        {checkBPF(nil, "1"), fine, ""},
		"no JIT":     {checkBPF(nil, "0"), warn, "interpreted"},
		"no XDP":     {checkBPF(ebpf.ErrNotSupported, "1"), bad, "CONFIG_BPF_SYSCALL"},
		"BPF rights": {checkBPF(unix.EPERM, "1"), bad, "not permitted"},

		"no limit":  {checkMemlock(unix.RLIM_INFINITY, 0, 1<<27), fine, "no limit"},
		"may lock":  {checkMemlock(1<<16, 1<<capIPCLock, 1<<27), fine, "CAP_IPC_LOCK"},
		"may raise": {checkMemlock(1<<16, 1<<capSysResource, 1<<27), fine, "raises"},
		"low limit": {checkMemlock(1<<16, 0, 1<<27), bad,
			"64 KiB can be locked, buffers of 128 MiB"},
		"limit that does": {checkMemlock(1<<27, 0, 1<<27), fine, ""},

		"huge":     {checkHuge(2<<20, true), fine, ""},
		"no huge":  {checkHuge(2<<20, false), warn, "zero-copy"},
		"odd huge": {checkHuge(512<<20, false), warn, "512 MiB"},

		"TAP": {checkTAP("/dev/null"), fine, ""},
		"tun": {checkTAP("/nowhere/tun"), warn, "no such file"},

		"nothing left": {checkPending(nil, nil)[0], fine, ""},
		"left": {checkPending([]takeover.Record{{Name: "eth7", PID: 12,
			Changes: takeover.Changes{Off: []string{"rx-lro"}}}}, nil)[0], warn,
			"eth7 is not as it was before process 12 was killed: rx-lro off"},
		"no records": {checkPending(nil, syscall.EACCES)[0], warn, "permission denied"},

		"no node":     {checkNode("/n", nodeState{err: syscall.ENOENT}), fine, "free"},
		"stale node":  {checkNode("/n", nodeState{err: syscall.ENOTCONN}), warn, "killed"},
		"silent node": {checkNode("/n", nodeState{err: errSilent}), bad, "does not answer"},
		"secret node": {checkNode("/n", nodeState{err: syscall.EACCES}), bad, "permission denied"},
		"ours": {checkNode("/n", nodeState{mode: unix.S_IFREG, fuse: true,
			server: "process 7 (netmap serve)"}), fine, "process 7 (netmap serve)"},
		"another's": {checkNode("/n", nodeState{mode: unix.S_IFREG, fuse: true}), fine,
			"cannot be seen"},
		"the module's": {checkNode("/n", nodeState{mode: unix.S_IFCHR}), warn, "kernel module"},
		"a directory":  {checkNode("/n", nodeState{mode: unix.S_IFDIR}), bad, "no regular file"},
		"a file":       {checkNode("/n", nodeState{mode: unix.S_IFREG}), fine, "mounts on"},
	} {
		if tt.got.Level != tt.want || !strings.Contains(tt.got.Text, tt.text) {
			t.Errorf("%s: %+v, want %s and %q", name, tt.got, tt.want, tt.text)
		}
		if tt.got.Level == fine && tt.got.Command != "" {
			t.Errorf("%s: %q mends what is fine", name, tt.got.Command)
		}
	}
}

func TestFindingText(t *testing.T) {
	f := failure("a command that is longer than a line of this width would ever be allowed to be",
		"one two three four five %d", 6)
	f.Check = "numbers"
	const want = `  fail  numbers     one two
                    three four
                    five 6
                    $ a command that is longer than a line of this width would ever be allowed to be
`
	if got := f.text(30); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
}

// A /proc has a process that serves FUSE connection 42, and others.
func TestFuseServer(t *testing.T) {
	proc := t.TempDir()
	for _, p := range []struct{ pid, file, info, command string }{
		{"5", "/dev/fuse", "pos:\t0\nfuse_connection:\t4\n", "sshfs\x00"},
		{"6", "/dev/null", "fuse_connection:\t42\n", "no"},
		{"7", "/dev/fuse", "pos:\t0\nfuse_connection:\t42\n", "netmap\x00serve\x00--path\x00/n\x00"},
	} {
		dir := filepath.Join(proc, p.pid)
		err := errors.Join(os.MkdirAll(filepath.Join(dir, "fd"), 0o700),
			os.Mkdir(filepath.Join(dir, "fdinfo"), 0o700),
			os.Symlink(p.file, filepath.Join(dir, "fd", "3")),
			os.WriteFile(filepath.Join(dir, "fdinfo", "3"), []byte(p.info), 0o600),
			os.WriteFile(filepath.Join(dir, "cmdline"), []byte(p.command), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := fuseServer(42, proc); got != "process 7 (netmap serve --path /n)" {
		t.Errorf("%q", got)
	}
	if got := fuseServer(43, proc); got != "" {
		t.Errorf("%q", got)
	}
}

// runDoctor runs the command and returns its output.
func runDoctor(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := New()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cli.MarkUsage(cmd)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"--state-dir", filepath.Join(t.TempDir(), "state")}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestDoctorExitStatus(t *testing.T) {
	for _, tt := range []struct {
		status int
		args   []string
	}{{1, []string{"nosuch0"}}, {2, []string{"--nosuch"}}, {2, []string{"--restore", "lo"}},
		{2, []string{"--buffer-size", "x"}}} {
		if out, err := runDoctor(t, tt.args...); cli.ExitStatus(err) != tt.status || out != "" {
			t.Errorf("%q: %v, %q, want status %d", tt.args, err, out, tt.status)
		}
	}
}

func TestDoctorRestoresNothing(t *testing.T) {
	for args, want := range map[string]string{"": "Nothing to restore.\n",
		"--json": `{"ok":true,"restored":[]}` + "\n"} {
		out, err := runDoctor(t, append([]string{"--restore"}, strings.Fields(args)...)...)
		if err != nil || out != want {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
}

// Root on the test machine has everything. So only the interface can fail: first nothing does, then
// an XDP program of another owner does.
func TestDoctor(t *testing.T) {
	ns := testutil.NewNS(t)
	testutil.Veth(t, ns, "a0", ns, "b0", 1)
	m := machine{path: filepath.Join(t.TempDir(), "node"), stateDir: t.TempDir(), bufSize: 2048}
	for _, f := range examine(&m, machineChecks) {
		if f.Level == bad {
			testutil.Require(t, f.Check, fmt.Errorf("%s: %w", f.Text, errors.ErrUnsupported))
		}
	}
	ns.Do(func() {
		out, err := runDoctor(t, "--probe", "--path", m.path, "a0")
		if err != nil || !strings.Contains(out, "\na0\n") ||
			!strings.Contains(out, "ethtool -K b0 tx off") || !strings.Contains(out, "native copy works") {
			t.Errorf("%v\n%s", err, out)
		}
		for line := range strings.Lines(out) {
			if len(strings.TrimRight(line, "\n")) > 80 && !strings.Contains(line, m.path) {
				t.Errorf("longer than 80 characters: %s", line)
			}
		}
		out, err = runDoctor(t, "--json", "--path", m.path, "--buffer-size", "1792", "a0")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		occupy(t, "a0")
		out, err = runDoctor(t, "--json", "--path", m.path, "a0")
		var answer struct {
			OK       bool
			Findings []finding
		}
		if e := json.Unmarshal([]byte(out), &answer); e != nil || cli.ExitStatus(err) != 1 || answer.OK {
			t.Errorf("%v, %v, %s", e, err, out)
		}
		var failed []string
		for _, f := range answer.Findings {
			if f.Level == bad {
				failed = append(failed, f.Interface+" "+f.Check+": "+f.Command)
			}
		}
		if len(failed) != 1 || failed[0] != "a0 program: ip link set dev a0 xdpgeneric off" {
			t.Errorf("what fails: %q", failed)
		}
	})
}

// occupy attaches an XDP program to an interface, as ip(8) does.
func occupy(t *testing.T, name string) {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "other", Type: ebpf.XDP, License: "MIT",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetXdpFdWithFlags(l, p.FD(), unix.XDP_FLAGS_SKB_MODE)
	}
	if err != nil {
		t.Fatal(err)
	}
}
