//go:build linux

package takeover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// testbed is an interface v0 to take over, one of a veth pair, with room for two queues.
type testbed struct {
	t     *testing.T
	ns    *testutil.NS
	dir   string
	index int
}

func newTestbed(t *testing.T) *testbed {
	t.Helper()
	for _, tool := range []string{"ip", "ethtool"} {
		_, err := exec.LookPath(tool)
		testutil.Require(t, tool, err)
	}
	testutil.CheckLeaks(t)
	b := &testbed{t: t, ns: testutil.NewNS(t), dir: filepath.Join(t.TempDir(), "records")}
	b.index, _ = testutil.Veth(t, b.ns, "v0", b.ns, "v1", 2)
	b.must("ethtool", "-L", "v0", "rx", "1", "tx", "1")
	return b
}

// run runs a program in the test's network namespace.
func (b *testbed) run(name string, args ...string) (string, error) {
	var out []byte
	var err error
	b.ns.Do(func() { out, err = exec.Command(name, args...).CombinedOutput() })
	return string(out), err
}

func (b *testbed) must(name string, args ...string) string {
	b.t.Helper()
	out, err := b.run(name, args...)
	if err != nil {
		b.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// state is the text of all settings that takeover could change.
func (b *testbed) state(name string) string {
	b.t.Helper()
	return b.must("ethtool", "-k", name) + b.must("ethtool", "-l", name) +
		b.must("ip", "-d", "link", "show", name)
}

func (b *testbed) want(before, after, what string) {
	b.t.Helper()
	if before != after {
		b.t.Errorf("%s: the interface is not as it was:\n%s\nbefore:\n%s", what, after, before)
	}
}

func (b *testbed) take(needs Needs) (taken *Taken, err error) {
	b.ns.Do(func() { taken, err = Take(b.dir, b.index, needs) })
	return taken, err
}

func (b *testbed) mustTake(needs Needs) *Taken {
	b.t.Helper()
	taken, err := b.take(needs)
	testutil.Require(b.t, "to change an interface", err)
	return taken
}

func (b *testbed) restore(taken *Taken) {
	b.t.Helper()
	var err error
	if b.ns.Do(func() { err = taken.Restore() }); err != nil {
		b.t.Fatal(err)
	}
}

// kill does to a taken interface what the kernel does when its process is killed.
func kill(taken *Taken) {
	taken.file.Close()
	taken.dev.Close()
	if taken.member >= 0 {
		syscall.Close(taken.member)
	}
}

// recover fails the test unless Recover restores so many interfaces.
func (b *testbed) recover(want int) {
	b.t.Helper()
	done, err := Recover(b.dir)
	if err != nil || len(done) != want {
		b.t.Fatalf("recovered %+v, %v, want %d", done, err, want)
	}
}

func (b *testbed) records() []string {
	list, _ := filepath.Glob(filepath.Join(b.dir, "*.json*"))
	return list
}

func (b *testbed) wantNoRecords() {
	b.t.Helper()
	if r := b.records(); len(r) > 0 {
		b.t.Errorf("records are left: %v", r)
	}
}

// twoQueues differs from the interface's number of queues.
var twoQueues = &ethtool.Channels{Rx: 2, MaxRx: 2, Tx: 2, MaxTx: 2}

// everything changes all that can be changed on a veth. Several features depend on the checksum's.
var everything = Needs{Off: append([]string{ethtool.FeatureTxCsum, "no-such-feature"}, Breaking...),
	Channels: twoQueues, Promisc: true}

func TestTakeAndRestore(t *testing.T) {
	b := newTestbed(t)
	b.must("ethtool", "-K", "v0", "txvlan", "off", "tso", "off") // what was off stays off
	before := b.state("v0")
	taken := b.mustTake(everything)
	during := b.state("v0")
	for _, want := range []string{"rx-vlan-offload: off", "rx-vlan-stag-hw-parse: off",
		"tx-checksum-ip-generic: off", "promiscuity 1"} {
		if !strings.Contains(during, want) {
			t.Errorf("no %q in\n%s", want, during)
		}
	}
	if strings.Count(during, "RX:\t\t2") != 2 {
		t.Errorf("not two queues:\n%s", during)
	}
	const changes = "tx-checksum-ip-generic and rx-vlan-hw-parse and rx-vlan-stag-hw-parse off, " +
		"queues 2 rx and 2 tx instead of 1 rx and 1 tx"
	if taken.Changes() != changes {
		t.Errorf("changes %q, want %q", taken.Changes(), changes)
	}
	r := b.records()
	if len(r) != 1 {
		t.Fatalf("records %v", r)
	}
	if st, err := os.Stat(r[0]); err != nil || st.Mode() != 0o600 {
		t.Errorf("record %v, %v", st.Mode(), err)
	}
	b.restore(taken)
	b.want(before, b.state("v0"), "restored")
	b.wantNoRecords()
	b.restore(taken) // twice does nothing
}

func TestTakeWithoutNeeds(t *testing.T) {
	b := newTestbed(t)
	before := b.state("v0")
	taken := b.mustTake(Needs{Off: []string{ethtool.FeatureLRO},
		Channels: &ethtool.Channels{Rx: 1, MaxRx: 2, Tx: 1, MaxTx: 2}})
	b.want(before, b.state("v0"), "nothing to change")
	if taken.Changes() != "" {
		t.Errorf("changes %q", taken.Changes())
	}
	b.wantNoRecords()
	b.restore(taken)
	if _, err := os.Stat(b.dir); err == nil {
		t.Error("a directory was made for no record")
	}
}

// A later Need adds to the changes, and the record lists all of them.
func TestNeedMore(t *testing.T) {
	b := newTestbed(t)
	before := b.state("v0")
	taken := b.mustTake(Needs{Off: []string{ethtool.FeatureRxVLAN}})
	for range 2 { // the second time nothing changes
		var err error
		if b.ns.Do(func() { err = taken.Need(everything) }); err != nil {
			t.Fatal(err)
		}
	}
	if pending, err := Pending(b.dir); err != nil || len(pending) != 0 {
		t.Errorf("pending %+v, %v, of a process that lives", pending, err)
	}
	b.recover(0)
	kill(taken)
	if pending, err := Pending(b.dir); err != nil || len(pending) != 1 ||
		len(pending[0].Changes.Off) != 3 {
		t.Errorf("pending %+v, %v", pending, err)
	}
	b.recover(1)
	b.want(before, b.state("v0"), "recovered")
	b.wantNoRecords()
}

func TestRecover(t *testing.T) {
	for _, tt := range []struct {
		name  string
		crash func(b *testbed)
		dev   string // afterwards
		done  int
	}{
		{"as it was", func(*testbed) {}, "v0", 1},
		{"renamed", func(b *testbed) {
			b.must("ip", "link", "set", "v0", "down")
			b.must("ip", "link", "set", "v0", "name", "w0")
		}, "w0", 1},
		{"restored by hand", func(b *testbed) {
			b.must("ethtool", "-K", "v0", "rxvlan", "on", "tx", "on")
			b.must("ethtool", "-L", "v0", "rx", "1", "tx", "1")
		}, "v0", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newTestbed(t)
			before := b.must("ethtool", "-k", "v0") + b.must("ethtool", "-l", "v0")
			kill(b.mustTake(everything))
			tt.crash(b)
			if pending, err := Pending(b.dir); err != nil || len(pending) != 1 ||
				pending[0].Name != "v0" {
				t.Errorf("pending %+v, %v", pending, err)
			}
			b.recover(tt.done)
			after := strings.ReplaceAll(b.must("ethtool", "-k", tt.dev)+b.must("ethtool", "-l",
				tt.dev), tt.dev, "v0")
			b.want(before, after, "recovered")
			b.wantNoRecords()
			b.recover(0)
		})
	}
}

// Recover does not touch another interface that has the index of the one that was taken.
func TestRecoverNothing(t *testing.T) {
	b := newTestbed(t)
	kill(b.mustTake(everything))
	b.must("ip", "link", "del", "v0")
	b.must("ip", "link", "add", "v0", "index", strconv.Itoa(b.index), "type", "veth", "peer",
		"name", "v1")
	b.must("ethtool", "-K", "v0", "rxvlan", "off")
	before := b.state("v0")
	b.recover(0)
	b.want(before, b.state("v0"), "another interface")
	b.wantNoRecords()
}

func TestRecoverGone(t *testing.T) {
	b := newTestbed(t)
	taken := b.mustTake(everything)
	b.must("ip", "link", "del", "v0")
	b.restore(taken) // while the process is alive
	b.wantNoRecords()

	for name, spoil := range map[string]func(*Record){
		"another boot":      func(r *Record) { r.Boot = "0" },
		"another namespace": func(r *Record) { r.NetNS.Cookie = 1 << 62 },
	} {
		b := newTestbed(t)
		taken := b.mustTake(everything)
		spoil(&taken.record)
		if err := taken.write(); err != nil {
			t.Fatal(err)
		}
		kill(taken)
		before := b.state("v0")
		b.recover(0)
		b.want(before, b.state("v0"), name)
		b.wantNoRecords()
	}
}

func TestOneProcessAtATime(t *testing.T) {
	b := newTestbed(t)
	before := b.state("v0")
	first := b.mustTake(Needs{Off: []string{ethtool.FeatureRxVLAN}})
	second, err := b.take(Needs{Off: []string{ethtool.FeatureRxVLAN}}) // needs no change
	if err != nil {
		t.Fatal(err)
	}
	during := b.state("v0")
	_, err = b.take(everything)
	if !errors.Is(err, syscall.EBUSY) || !strings.Contains(err.Error(), "rx-vlan-hw-parse off") {
		t.Errorf("taken twice: %v", err)
	}
	b.want(during, b.state("v0"), "refused")
	b.restore(second)
	b.want(during, b.state("v0"), "given back by one that changed nothing")
	b.restore(first)
	b.want(before, b.state("v0"), "given back")
}

// Restore does not touch another interface that has the index and the address of the one that was
// taken.
func TestRestoreSparesNewInterface(t *testing.T) {
	b := newTestbed(t)
	taken := b.mustTake(everything)
	b.must("ip", "link", "set", "v0", "name", "wan")
	var mac string
	b.ns.Do(func() {
		l, err := netlink.LinkByIndex(b.index)
		if err != nil {
			t.Fatal(err)
		}
		mac = l.Attrs().HardwareAddr.String()
	})
	b.must("ip", "link", "del", "wan")
	b.must("ip", "link", "add", "v0", "index", fmt.Sprint(b.index), "address", mac, "numrxqueues",
		"2", "numtxqueues", "2",
		"type", "veth", "peer", "name", "v1")
	b.must("ethtool", "-K", "v0", "rx-vlan-hw-parse", "off")
	before := b.state("v0")
	b.restore(taken)
	b.want(before, b.state("v0"), "its predecessor was given back")
	b.wantNoRecords()
}

// Take after a crash first restores the settings from before the crash.
func TestTakeAfterCrash(t *testing.T) {
	b := newTestbed(t)
	before := b.state("v0")
	crashed := b.mustTake(everything)
	kill(crashed)
	if err := os.WriteFile(crashed.file.path+tmpSuffix, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken := b.mustTake(Needs{Off: Breaking[:3]})
	var err error
	if b.ns.Do(func() { err = taken.Need(Needs{Off: Breaking}) }); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(taken.Changes(), "queues") {
		t.Errorf("changes %q", taken.Changes())
	}
	b.restore(taken)
	b.want(before, b.state("v0"), "given back")
	b.wantNoRecords()
}

// Nothing is changed if it cannot be recorded.
func TestNoPlaceForRecords(t *testing.T) {
	b := newTestbed(t)
	before := b.state("v0")
	for name, spoil := range map[string]func(){
		"a file":             func() { os.WriteFile(b.dir, nil, 0o600) },
		"writable by others": func() { os.Mkdir(b.dir, 0o700); os.Chmod(b.dir, 0o777) },
	} {
		spoil()
		if _, err := b.take(everything); err == nil || !strings.Contains(err.Error(), b.dir) ||
			fault.Errno(err) == syscall.EIO {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Recover(b.dir); err == nil {
			t.Errorf("recovered from %s", name)
		}
		b.want(before, b.state("v0"), name)
		os.RemoveAll(b.dir)
	}
}

// Recover names a file that is no record, and does not touch it. It removes an unlocked temporary
// file: its process was killed while it wrote a record.
func TestOtherFiles(t *testing.T) {
	b := newTestbed(t)
	kill(b.mustTake(everything))
	strange := filepath.Join(b.dir, "1-1.json")
	for _, path := range []string{strange, strange + tmpSuffix} {
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(b.dir, "netmap.sock")) // daemons have sockets there
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done, err := Recover(b.dir)
	if len(done) != 1 || err == nil || !strings.Contains(err.Error(), strange) ||
		strings.Contains(err.Error(), ".sock") {
		t.Errorf("%+v, %v", done, err)
	}
	if r := b.records(); len(r) != 1 || r[0] != strange {
		t.Errorf("records %v", r)
	}
}

// When a change fails, the earlier ones are undone.
func TestTakeFails(t *testing.T) {
	b := newTestbed(t)
	before := b.state("v0")
	needs := everything
	needs.Channels = &ethtool.Channels{Rx: 3, MaxRx: 2, Tx: 3, MaxTx: 2}
	if _, err := b.take(needs); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("three queues of two: %v", err)
	}
	b.want(before, b.state("v0"), "after an error")
	b.wantNoRecords()
	var err error
	b.ns.Do(func() { _, err = Take(b.dir, 99, everything) })
	if !errors.Is(err, syscall.ENODEV) {
		t.Errorf("no such interface: %v", err)
	}
}

func TestWishChannels(t *testing.T) {
	cpus := possibleCPUs()
	for _, tt := range []struct {
		driver    string
		now, most int
		want      int // 0 to keep it
	}{
		{"virtio_net", 1, cpus + 1, cpus + 1},
		{"virtio_net", 1, cpus, 0}, // the driver could take none for its own use
		{"virtio_net", cpus + 1, cpus + 1, 0},
		{"virtio_net", 0, 0, 0},
		{"igb", 1, 8, 0},
	} {
		wish := WishChannels(tt.driver, ethtool.Channels{Combined: tt.now, MaxCombined: tt.most})
		if got := wish; (got != nil) != (tt.want > 0) || got != nil && got.Combined != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// The hint of an error about a record depends on the errno.
func TestRecordHints(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		file: "a file where the directory", filepath.Join(file,
			"below"): "a file where the directory", open: "others may write to it",
	} {
		_, err := recordDir{dir}.create(Record{Name: "eth9"})
		if err == nil || !strings.Contains(err.Error(), want) ||
			strings.Count(err.Error(), otherDir) != 1 {
			t.Errorf("%s: %v; want %q, and otherDir once", dir, err, want)
		}
	}
}
