//go:build linux

package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// logged starts a daemon, and keeps its log.
func logged(t *testing.T) (path string, d *Daemon, log *testutil.Buffer) {
	t.Helper()
	log = &testutil.Buffer{}
	path = filepath.Join(t.TempDir(), "node")
	d, err := Start(Config{Path: path, Mode: 0o600,
		Log: slog.New(event.NewHandler(log, event.Journal, slog.LevelDebug))})
	testutil.Require(t, "a device node (root, FUSE passthrough of Linux 6.9)", err)
	return path, d, log
}

// TestLog tests that the log uses one name for a port, says who was refused and why, and in the end
// which clients lose ports.
func TestLog(t *testing.T) {
	path, d, log := logged(t)
	p := openPort(t, path, "vale0:a")
	q := openPort(t, path, "vale0:b")
	q.Close()
	_, err := netmap.OpenDevice(path, "netmap:nosuch0")
	if err == nil {
		t.Fatal("there is no such interface")
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("enough"))
	if err := d.Wait(ctx); err != nil {
		t.Error(err)
	}
	d.Close()
	p.Close()
	command, _ := os.ReadFile("/proc/self/comm")
	who := fmt.Sprintf("pid=%d program=%s", os.Getpid(), bytes.TrimSpace(command))
	by := fmt.Sprintf("%s user=%d", who, os.Getuid())
	rest := log.String()
	for _, want := range []string{
		"<6>memory is taken as ports open",
		"<7>request answered event=answered " + by + " request=open port=vale0:a\n",
		"request=open port=vale0:b\n",
		"<4>request refused event=refused " + by + " request=open port=nosuch0 errno=ENXIO error=",
		"<6>stopping event=stopping device=" + path + " clients=1 reason=enough uptime=",
		"<4>a client loses its ports event=ports-lost " + who + " ports=vale0:a\n",
		"<6>stopped event=stopped device=" + path + " uptime=",
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("no %q in\n%s", want, rest)
		}
		rest = after
	}
	if !strings.Contains(log.String(), "request=close port=vale0:b\n") {
		t.Errorf("the log does not have the end of vale0:b:\n%s", log)
	}
}

// TestRefusalsAreThrottled tests that repeated refusals of a process are counted and not all
// logged.
func TestRefusalsAreThrottled(t *testing.T) {
	path, d, log := logged(t)
	const asked = 200
	for range asked {
		if _, err := netmap.OpenDevice(path, "nosuch0"); err == nil {
			t.Fatal("there is no such interface")
		}
	}
	d.Close()
	said := strings.Count(log.String(), "event=refused")
	var omitted int
	for _, line := range strings.Split(log.String(), "\n") {
		if _, n, ok := strings.Cut(line, " omitted="); ok {
			var more int
			fmt.Sscan(n, &more)
			omitted += more
		}
	}
	if said == 0 || said > 20 || said+omitted < asked {
		t.Errorf("%d refusals are logged and %d counted, of %d:\n%s", said, omitted, asked, log)
	}
}

// TestExposedStatus tests that the log warns when other machines can read the status.
func TestExposedStatus(t *testing.T) {
	_, d, log := logged(t)
	defer d.Close()
	for address, want := range map[string]bool{"127.0.0.1:0": false, "0.0.0.0:0": true, ":0": true} {
		before := strings.Count(log.String(), "event=status-exposed address=")
		if err := d.ServeStatus(StatusConfig{HTTP: address}); err != nil {
			t.Fatal(err)
		}
		if a := d.Address(); strings.HasSuffix(a, ":0") || !strings.Contains(a, ":") {
			t.Errorf("%s: offered at %q, want the chosen port", address, a)
		}
		if got := strings.Count(log.String(), "event=status-exposed address=") > before; got != want {
			t.Errorf("%s: logged %v, want %v:\n%s", address, got, want, log)
		}
	}
	trouble{d.log}.Write([]byte("something\n<0>else\n"))
	want := `<4>the status API had an error event=status-trouble reason="something\n<0>else"` + "\n"
	if !strings.HasSuffix(log.String(), want) {
		t.Errorf("%s\nwant %s", log, want)
	}
}

// TestInterfaceEvents tests that the events of a renamed interface have its present name.
func TestInterfaceEvents(t *testing.T) {
	path, d, log := logged(t)
	defer d.Close()
	a, b := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, a, "va", b, "vb", 1)
	var p *netmap.Port
	var err error
	a.Do(func() { p, err = netmap.OpenDevice(path, "netmap:va") })
	testutil.Require(t, "AF_XDP", err)
	told := func(want string) {
		t.Helper()
		end := time.Now().Add(10 * time.Second)
		for ; !strings.Contains(log.String(), want); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %q in\n%s", want, log)
			}
		}
	}
	change := func(f func(netlink.Link) error) {
		t.Helper()
		a.Do(func() {
			l, e := netlink.LinkByName("va")
			if e != nil {
				l, e = netlink.LinkByName("vx")
			}
			if err = e; err == nil {
				err = f(l)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	told("<6>interface settings changed event=changed interface=va setting=\"rx-vlan-hw-parse")
	told("<6>interface in use event=in-use interface=va mode=\"native copy\" reason=")
	change(func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1400) })
	told("<6>interface has another MTU event=mtu interface=va mtu=1400\n")
	change(netlink.LinkSetDown)
	told("<4>interface is down event=down interface=va reason=")
	change(func(l netlink.Link) error { return netlink.LinkSetName(l, "vx") })
	told("<6>interface renamed event=renamed interface=vx was=va\n")
	change(netlink.LinkSetUp)
	told("<4>interface is up again event=up interface=vx\n")
	p.Close()
	told("<6>interface settings put back event=restored interface=vx setting=")
	told("request=close port=vx\n")
}
