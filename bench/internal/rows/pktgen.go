package rows

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
)

// pktGenVariable is the environment variable with the path of pkt-gen.
const pktGenVariable = "NETMAP_PKTGEN"

func pktGen() error {
	path := os.Getenv(pktGenVariable)
	if path == "" {
		return fmt.Errorf("needs a pkt-gen, built from upstream netmap: name it in %s", pktGenVariable)
	}
	if _, err := exec.LookPath(path); err != nil {
		return fmt.Errorf("%s: %w", pktGenVariable, err)
	}
	return nil
}

// pktGenLine matches a line that pkt-gen prints once a second, such as
//
//	421.123456 main_thread [2781] 12.345 Mpps (12.361 Mpkts 5.934 Gbps in 1001322 usec) …
var pktGenLine = regexp.MustCompile(`\(([0-9.]+) ([KMG]?)pkts [0-9.]+ [KMG]?bps in [0-9]+ usec\)`)

// pktGenFrames parses the number of frames in the last second.
func pktGenFrames(text string) (float64, bool) {
	m := pktGenLine.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	return n * map[string]float64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[m[2]], err == nil
}

// pktGenTotal returns a Total that adds up the frames of all seconds.
func pktGenTotal() lab.Total {
	sum := 0.0
	return func(text string) (float64, bool) {
		n, ok := pktGenFrames(text)
		sum += n
		return sum, ok
	}
}

// pktGenWay is a way to run pkt-gen and the daemon.
type pktGenWay struct {
	name        string
	serve, args []string // flags of "netmap serve", and of both pkt-gen
}

// pktGenWays are the default, rings and batches as large as memif's, and cores that the daemon
// chooses.
var pktGenWays = []pktGenWay{
	{"", nil, []string{"-b", strconv.Itoa(processBatch)}},
	{", rings of 4096", nil, largeRings},
	{", rings of 4096, --colocate", []string{"--colocate"}, largeRings},
}

var largeRings = []string{"-b", "2000", "-C", "4096,4096"}

// pktGenBetween runs two pkt-gen that send and receive over a device.
func pktGenBetween(tx, rx string, way pktGenWay) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		d, err := l.Serve(ctx, way.serve...)
		if err != nil {
			return nil, err
		}
		defer d.Stop()
		receiver, err := startPktGen(l, d.Node,
			append([]string{"-f", "rx", "-i", portOf(rx)}, way.args...)...)
		if err != nil {
			return nil, err
		}
		defer receiver.Stop()
		send := []string{"-f", "tx", "-i", portOf(tx), "-l", strconv.Itoa(processLength)}
		sender, err := startPktGen(l, d.Node, append(send, way.args...)...)
		if err != nil {
			return nil, err
		}
		defer sender.Stop()
		frames, _, err := lab.Rates(ctx, receiver, pktGenTotal(), length, lab.Unmarked)
		return []float64{lab.Mega(frames)}, err
	}
}

// startPktGen runs pkt-gen with the daemon's node as /dev/netmap: pkt-gen opens no other path.
func startPktGen(l *lab.Lab, node string, args ...string) (*lab.Process, error) {
	argv := l.Helper("with-device", node, os.Getenv(pktGenVariable))
	argv = append(argv, "-w", "1")
	return lab.Start(append(argv, args...),
		func(c *exec.Cmd) { c.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS })
}

// portOf returns pkt-gen's name of a port. Without a prefix, pkt-gen treats every name as that of
// an interface, unless it starts with "vale".
func portOf(name string) string {
	if strings.HasPrefix(name, "vale") {
		return name
	}
	return "netmap:" + name
}
