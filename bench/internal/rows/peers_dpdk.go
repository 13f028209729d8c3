package rows

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/seed-48afdc40/netmap/bench/internal/lab"
)

// testpmd is DPDK's traffic generator, which is used here with the drivers af_xdp and memif.
const testpmd = "dpdk-testpmd"

func dpdk() error {
	if _, err := exec.LookPath(testpmd); err != nil {
		return fmt.Errorf("needs %s (Debian: apt install dpdk-dev; Fedora: dnf install dpdk)", testpmd)
	}
	return nil
}

// instances numbers the DPDK processes of this program.
var instances atomic.Int32

// pmd returns the command line of a testpmd with one virtual device. The testpmd prints its
// counters once a second; cores is EAL's option that chooses the cores, such as -l 0,1.
func pmd(cores []string, device, mode string, extra ...string) []string {
	prefix := fmt.Sprintf("netmap-bench-%d-%d", os.Getpid(), instances.Add(1))
	argv := []string{testpmd, "--no-pci", "--no-huge", "-m", "512", "--no-shconf", "--no-telemetry",
		"--file-prefix", prefix}
	argv = append(argv, cores...)
	argv = append(argv, "--vdev", device, "--", "--forward-mode="+mode, "--stats-period", "1",
		"--total-num-mbufs=8192")
	return append(argv, extra...)
}

// dpdkEnv makes DPDK keep its run-time files in the lab.
func dpdkEnv(l *lab.Lab) []string { return append(os.Environ(), "RUNTIME_DIRECTORY="+l.Path("")) }

func asDPDK(l *lab.Lab, c *exec.Cmd) { c.Env = dpdkEnv(l) }

// pmdStats are the counters that testpmd prints.
type pmdStats struct{ rxPackets, txPackets, rxRate, txRate uint64 }

// read parses a line of output, and reports whether it has a counter.
func (s *pmdStats) read(text string) bool {
	found := false
	for name, to := range map[string]*uint64{
		"RX-packets:": &s.rxPackets, "TX-packets:": &s.txPackets, "Rx-pps:": &s.rxRate,
		"Tx-pps:": &s.txRate,
	} {
		if value, ok := lab.Field(text, name, ""); ok {
			if f := strings.Fields(value); len(f) > 0 {
				if n, err := strconv.ParseUint(f[0], 10, 64); err == nil {
					*to, found = n, true
				}
			}
		}
	}
	return found
}

// pmdReceived parses how many frames a testpmd has received.
func pmdReceived(text string) (float64, bool) {
	if !strings.Contains(text, "RX-packets:") {
		return 0, false
	}
	var s pmdStats
	ok := s.read(text)
	return float64(s.rxPackets), ok
}

var versionLine = regexp.MustCompile(`RTE Version: '([^']*)'`)

// DPDKVersion asks testpmd for its version.
func DPDKVersion(ctx context.Context, l *lab.Lab) string {
	if dpdk() != nil {
		return "none"
	}
	ctx, cancel := context.WithTimeout(ctx, lab.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, testpmd, "-v", "--no-pci", "--in-memory", "--no-huge", "-m", "64",
		"--no-telemetry", "--", "--help")
	cmd.Env = dpdkEnv(l)
	out, _ := cmd.CombinedOutput() // its exit status means nothing
	if m := versionLine.FindStringSubmatch(string(out)); m != nil {
		return strings.TrimPrefix(m[1], "DPDK ")
	}
	return "unknown"
}
