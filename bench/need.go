package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// need says what is missing and how to come by it, or nil.
type need func() error

func root() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root")
	}
	return nil
}

func twoCores() error {
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("needs two processor cores")
	}
	return nil
}

// testpmd is DPDK's traffic generator, and here its af_xdp and memif drivers.
const testpmd = "dpdk-testpmd"

func dpdk() error {
	if _, err := exec.LookPath(testpmd); err != nil {
		return fmt.Errorf("needs %s (Debian: apt install dpdk-dev; Fedora: dnf install dpdk)", testpmd)
	}
	return nil
}

// pktGenVariable names the pkt-gen to measure.
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
