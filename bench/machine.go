package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is what the figures were measured on.
type machine struct {
	when   time.Time
	cpu    string
	cores  int
	kernel string
	golang string
	load   string // before the first measurement
	dpdk   string
}

// thisMachine looks around. Load is what it was before: the measurements make their own.
func thisMachine(ctx context.Context, lab *lab) machine {
	m := machine{when: time.Now(), cores: runtime.NumCPU(), golang: runtime.Version() + " " + runtime.GOARCH}
	info, _ := os.ReadFile("/proc/cpuinfo")
	m.cpu = cpuModel(string(info))
	load, _ := os.ReadFile("/proc/loadavg")
	m.load = loadAverages(string(load))
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	m.dpdk = dpdkVersion(ctx, lab)
	return m
}

var modelLine = regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`)

// cpuModel reads /proc/cpuinfo, which has no name on some architectures.
func cpuModel(info string) string {
	name := runtime.GOARCH
	if m := modelLine.FindStringSubmatch(info); m != nil {
		name = m[1]
	}
	if strings.Contains(info, " hypervisor ") {
		name += ", in a virtual machine"
	}
	return name
}

// loadAverages are the three of /proc/loadavg.
func loadAverages(s string) string {
	f := strings.Fields(s)
	return strings.Join(f[:min(3, len(f))], " ")
}

var versionLine = regexp.MustCompile(`RTE Version: '([^']*)'`)

func dpdkVersion(ctx context.Context, lab *lab) string {
	if dpdk() != nil {
		return "none"
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, testpmd, "-v", "--no-pci", "--in-memory", "--no-huge", "-m", "64", "--no-telemetry", "--", "--help")
	cmd.Env = lab.dpdkEnv()
	out, _ := cmd.CombinedOutput() // its exit status says nothing
	if m := versionLine.FindStringSubmatch(string(out)); m != nil {
		return strings.TrimPrefix(m[1], "DPDK ")
	}
	return "unknown"
}

// lines describe the machine, name by name.
func (m machine) lines() [][2]string {
	return [][2]string{
		{"CPU", fmt.Sprintf("%s, %d cores", m.cpu, m.cores)},
		{"kernel", m.kernel},
		{"Go", m.golang},
		{"DPDK", m.dpdk},
		{"load before", m.load},
		{"date", m.when.Format("2006-01-02 15:04 MST")},
	}
}

func (m machine) text() string {
	var b strings.Builder
	for _, l := range m.lines() {
		fmt.Fprintf(&b, "%-12s %s\n", l[0], l[1])
	}
	return b.String()
}
