package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pkt-gen writes once a second, such as
//
//	421.123456 main_thread [2781] 12.345 Mpps (12.361 Mpkts 5.934 Gbps in 1001322 usec) 497.31 avg_batch 0 min_space
var pktGenLine = regexp.MustCompile(`\(([0-9.]+) ([KMG]?)pkts [0-9.]+ [KMG]?bps in [0-9]+ usec\)`)

// pktGenFrames reads the frames of the last second.
func pktGenFrames(text string) (float64, bool) {
	m := pktGenLine.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	return n * map[string]float64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9}[m[2]], err == nil
}

// pktGenTotal adds them up.
func pktGenTotal() total {
	sum := 0.0
	return func(text string) (float64, bool) {
		n, ok := pktGenFrames(text)
		sum += n
		return sum, ok
	}
}

// pktGenBetween has two pkt-gen send and receive over a device.
func pktGenBetween(tx, rx string) func(context.Context, *lab, time.Duration) ([]float64, error) {
	return func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
		d, err := lab.serve(ctx, defaultSpin)
		if err != nil {
			return nil, err
		}
		defer d.stop()
		receiver, err := lab.startPktGen(d.node, "-f", "rx", "-i", rx)
		if err != nil {
			return nil, err
		}
		defer receiver.stop()
		sender, err := lab.startPktGen(d.node, "-f", "tx", "-i", tx, "-l", strconv.Itoa(processLength), "-b", strconv.Itoa(processBatch))
		if err != nil {
			return nil, err
		}
		defer sender.stop()
		frames, _, err := rates(ctx, receiver, pktGenTotal(), length, unmarked)
		return []float64{mega(frames)}, err
	}
}

// startPktGen runs pkt-gen where /dev/netmap is our node: it knows no other.
func (l *lab) startPktGen(node string, args ...string) (*process, error) {
	argv := l.helper("with-device", node, os.Getenv(pktGenVariable))
	argv = append(argv, "-w", "1")
	return start(append(argv, args...), func(c *exec.Cmd) { c.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS })
}

// withDevice runs a program with a /dev of its own, which has little but /dev/netmap. It is called in a mount namespace
// of its own.
func withDevice(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("with-device: want a node and a command")
	}
	program, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	if program, err = filepath.Abs(program); err != nil {
		return err
	}
	if err := unix.Mount("dev", "/dev", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount a /dev: %w", err)
	}
	if err := os.WriteFile("/dev/netmap", nil, 0o600); err != nil {
		return err
	}
	if err := unix.Mount(args[0], "/dev/netmap", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s on /dev/netmap: %w", args[0], err)
	}
	return syscall.Exec(program, args[1:], os.Environ())
}
