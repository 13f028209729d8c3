package vale

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/daemon"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// lab is a device, and a network namespace with a veth pair v0, v1 in which the command runs.
type lab struct {
	t    *testing.T
	path string
	ns   *testutil.NS
}

func newLab(t *testing.T) *lab {
	t.Helper()
	testutil.CheckLeaks(t)
	l := &lab{t, filepath.Join(t.TempDir(), "netmap"), testutil.NewNS(t)}
	testutil.Veth(t, l.ns, "v0", l.ns, "v1", 1)
	d, err := daemon.Start(daemon.Config{Engine: engine.Config{
		Region: mem.Config{Buf: mem.Pool{Num: 16384}, NoHuge: true},
		NIC:    engine.NICConfig{StateDir: t.TempDir()}},
		Path: l.path, Mode: 0o600, Log: slog.New(slog.DiscardHandler)})
	testutil.Require(t, "a device node (root, FUSE passthrough of Linux 6.9)", err)
	t.Cleanup(func() { d.Close() })
	return l
}

// run runs the command.
func (l *lab) run(args ...string) (out string, err error) {
	var b bytes.Buffer
	cmd := New()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	cmd.SetArgs(append(args, "--device", l.path))
	l.ns.Do(func() { err = cmd.Execute() })
	return b.String(), err
}

func (l *lab) must(want string, args ...string) {
	l.t.Helper()
	out, err := l.run(args...)
	if err != nil || !strings.Contains(out, want) {
		l.t.Errorf("vale %q: %q, %v; want %q", args, out, err, want)
	}
}

func (l *lab) fails(want string, args ...string) {
	l.t.Helper()
	if out, err := l.run(args...); err == nil || !strings.Contains(err.Error(), want) ||
		strings.Contains(err.Error(), "\n") {
		l.t.Errorf("vale %q: %q, error %v; want one line with %q", args, out, err, want)
	}
}

func TestSwitches(t *testing.T) {
	l := newLab(t)
	l.must("no switches", "list")
	l.must("[]", "list", "--json")
	p, err := netmap.OpenDevice(l.path, "vale3:a@conf:rings=2,slots=256")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l.must("pt has 2 tx and 2 rx rings of 512 slots", "create", "pt", "--rings", "2", "--slots", "512")
	l.must("vale3:pt is port 1 of vale3", "attach", "vale3:pt")
	out, err := l.run("attach", "vale10:v0", "--json")
	testutil.Require(t, "AF_XDP", err)
	if out != `{"done":"attach","name":"vale10:v0","index":0}`+"\n" {
		t.Errorf("attach says %s", out)
	}
	l.must("    0  vale3:a   2, 2          256    -\n    1  vale3:pt  2, 2          512    -\n",
		"list")
	l.must("    0   vale10:v0", "list", "vale10")

	out, err = l.run("list", "--json")
	var all []port
	if err == nil {
		err = json.Unmarshal([]byte(out), &all)
	}
	want := "[{vale10 0 vale10:v0 1 1 1024 1024 0 1  0} {vale3 0 vale3:a 2 2 256 256 0 1  0} " +
		"{vale3 1 vale3:pt 2 2 512 512 0 1  0}]"
	if err != nil || fmt.Sprint(all) != want {
		t.Errorf("list: %v, %v; want %s", all, err, want)
	}

	l.fails("already", "attach", "vale10:v0")
	l.fails("no interface of that name", "attach", "vale10:nosuch")
	l.fails("no switch has a port", "detach", "vale3:x")
	l.fails("opened by a program", "detach", "vale3:a")
	l.fails("netmap vale detach", "delete", "pt")
	l.fails("was not made by netmap vale create", "delete", "v1")
	l.fails("there is an interface of that name", "create", "v1")
	l.fails("there is no switch vale9", "list", "vale9")
	l.fails("not polled", "polling", "vale10:v0", "off")
	l.fails("not so many processors", "polling", "vale10:v0", "on", "--cpus", "5000")
	l.fails("only interfaces", "polling", "vale3:a", "on")
	l.must("vale10:v0 is polled by 1 processor", "polling", "vale10:v0", "on")
	l.fails("polling off", "detach", "vale10:v0")
	l.must("not polled any more", "polling", "vale10:v0", "off")

	l.must("vale10:v0 was port 0", "detach", "vale10:v0")
	l.must(`{"done":"detach","name":"vale3:pt","index":1}`, "detach", "vale3:pt", "--json")
	l.must("pt is gone", "delete", "pt")
}

func TestHostStackOnASwitch(t *testing.T) {
	l := newLab(t)
	_, err := l.run("attach", "vale0:v0", "--host")
	testutil.Require(t, "AF_XDP and TCX", err)
	l.must("vale0:v0^", "list")
	l.must("was port 0", "detach", "vale0:v0")
}

func TestCompletion(t *testing.T) {
	l := newLab(t)
	p, err := netmap.OpenDevice(l.path, "vale3:a")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f := &flags{path: l.path}
	ports := f.complete(func(p port) string { return p.Name })
	for _, c := range []struct {
		cmd  *cobra.Command
		args []string
		want []string
	}{
		{f.detachCmd(), nil, []string{"vale3:a"}}, {f.detachCmd(), []string{"vale3:a"}, nil},
		{f.pollingCmd(), []string{"vale3:a"}, []string{"on", "off"}},
	} {
		if got, _ := ports(c.cmd, c.args, ""); !slices.Equal(got, c.want) {
			t.Errorf("%s %q: offered %q, want %q", c.cmd.Name(), c.args, got, c.want)
		}
	}
	l.ns.Do(func() {
		if got, _ := completeInterface(nil, nil, "vale7:"); !slices.Equal(got,
			[]string{"vale7:v1", "vale7:v0"}) && !slices.Equal(got, []string{"vale7:v0", "vale7:v1"}) {
			t.Errorf("offered %q", got)
		}
	})
	if got, _ := (&flags{path: "/nosuch/node"}).complete(nil)(f.detachCmd(), nil, ""); got != nil {
		t.Errorf("offered %q of no device", got)
	}
}

func TestBadCommandLines(t *testing.T) {
	l := &lab{t: t, path: "/nosuch/node"}
	for args, want := range map[string]string{
		"attach":                      "arg",
		"attach eth0":                 "no port of a switch",
		"attach vale0:":               "no port of a switch",
		"attach br0:eth0":             "no port of a switch",
		"attach vale0:a extra":        "arg",
		"detach vale0":                "no port of a switch",
		"create":                      "arg",
		"create vale0":                "cannot be the name",
		"create a-name-far-too-long":  "cannot be the name",
		"create x --rings 70000":      "--rings",
		"create x --slots -1":         "--slots",
		"delete":                      "arg",
		"polling vale0:eth0":          "arg",
		"polling vale0:eth0 maybe":    "on or off",
		"polling eth0 on":             "no port of a switch",
		"polling vale0:e off --cpu 1": "--cpu",
		"polling vale0:e on --cpus 0": "--cpus",
		"list --nosuch":               "--nosuch",
		"list":                        "start netmap serve",
	} {
		var err error
		cmd := New()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(append(strings.Fields(args), "--device", l.path))
		cmd.SetOut(new(bytes.Buffer))
		if err = cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("vale %s: error %v, want one line with %q", args, err, want)
		}
	}
}
