//go:build linux

// Package nics tests netmap mode on the drivers of real network cards, inside guests that QEMU
// emulates in software.
//
//	TestNICs                            TestGuest, the same binary as the guest's /init
//	  builds the initial RAM disk         image_test.go
//	  starts QEMU, speaks QMP to it       machine_test.go
//	  boots ----------------------------> mounts, loads drivers   init_test.go
//	                                      makes two namespaces, joined by cards   lab_test.go
//	  unplugs and plugs on request <----- runs every scenario on every pair: one file each
//	  collects <------------------------- reports results         report_test.go
//	  writes doc/nics.md                  powers off
//
// "make test-nics" gets QEMU and kernels, and runs the tests. Package device tests what can be
// tested on veth pairs.
package nics

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

var (
	update  = flag.Bool("update", false, "write the results into doc/nics.md")
	only    = flag.String("machine", "", "run this machine only")
	oneCard = flag.String("card", "", "use this card only")
	oneTask = flag.String("scenario", "", "run this scenario only")
	verbose = flag.Bool("console", false, "show the guests' consoles")
)

func TestMain(m *testing.M) {
	if os.Getpid() == 1 {
		runGuest(m)
	}
	os.Exit(m.Run())
}

// scenario is a test that runs with every pair of interfaces.
type scenario struct {
	name string
	what string // explanation below the table
	run  func(t *testing.T, p *pair)
}

var scenarios = []scenario{
	{"frames", "frames of 60 to 1518 bytes, a quarter with VLAN tags, both ways, " +
		"every byte compared: all queues and single ones, " +
		"in one process and through the device", testFrames},
	{"gen", "`netmap gen` sends and receives, both ways, in one process and through the device",
		testGen},
	{"C", "C programs send and receive through the device", testC},
	{"host", "a forwarder between the interface and its host stack: ping and TCP both ways, " +
		"in one process and through the device", testHost},
	{"bridge", "a bridge to the next driver's interface passes frames both ways without copying them",
		testBridge},
	{"reopen", "closed and opened again at once, ten times, with traffic each time", testReopen},
	{"kill", "the daemon is killed with SIGKILL: the host is reachable, " +
		"and `netmap doctor --restore` puts every setting back", testKill},
	{"link", "the interface goes down and up, the cable is pulled and plugged: " +
		"EIO while it is down, traffic afterwards", testLink},
	{"change",
		"MTU and number of queues change under traffic: it goes on, or EIO and the port opens again",
		testChange},
	{"unplug",
		"the card is pulled out of the running machine and put in again: EIO, then the port opens again",
		testUnplug},
}

// kernels is the environment variable that names a directory with unpacked packages of kernels.
const kernels = "NETMAP_KERNELS"

// TestNICs boots a guest for every machine and kernel.
func TestNICs(t *testing.T) {
	dir := os.Getenv(kernels)
	if dir == "" {
		t.Skipf("boots guests with kernels from $%s: 'make test-nics' gets them and runs this",
			kernels)
	}
	found, err := findKernels(dir)
	if err != nil || len(found) == 0 {
		t.Fatalf("no kernels in %s: %v", dir, err)
	}
	testutil.Require(t, "QEMU (Debian package qemu-system-x86)", haveQEMU())
	build(t)
	all := runAll(t, found)
	if len(all) == 0 {
		t.Fatal("no machine has run")
	}
	text := table(all)
	t.Logf("\n%s", text)
	if *update && !t.Failed() {
		if err := writeDoc(filepath.Join("..", "..", "doc", "nics.md"), text); err != nil {
			t.Error(err)
		}
	}
}

// runAll runs all machines, at most -parallel at once, and returns their results in the order of
// the machines.
func runAll(t *testing.T, found []kernel) (all []result) {
	var guests []*[]result
	t.Run("guests", func(t *testing.T) { // returns when all have ended
		for _, k := range found {
			for _, m := range machines {
				if *only != "" && *only != m.name || !m.fits(k) || !m.has(*oneCard) {
					continue
				}
				results := new([]result)
				guests = append(guests, results)
				t.Run(k.version+"/"+m.name, func(t *testing.T) {
					t.Parallel()
					*results = run(t, k, m)
				})
			}
		}
	})
	for _, results := range guests {
		all = append(all, *results...)
	}
	return all
}
