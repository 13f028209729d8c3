package report

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine describes where the figures were measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
}

// Run is when, and with which programs, the figures were measured.
type Run struct {
	Date    string  `json:"date"`
	Load    string  `json:"load"` // before the first measurement
	Golang  string  `json:"go"`
	DPDK    string  `json:"dpdk"`
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds"`
}

// ThisMachine describes this machine.
func ThisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU()}
	info, _ := os.ReadFile("/proc/cpuinfo")
	m.CPU = cpuModel(string(info))
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// ThisRun describes a run that begins now. Load is the load before the measurements.
func ThisRun(dpdk string, rounds int, seconds float64) Run {
	load, _ := os.ReadFile("/proc/loadavg")
	return Run{
		Date: time.Now().UTC().Format("2006-01-02 15:04 MST"), Load: loadAverages(string(load)),
		Golang: runtime.Version() + " " + runtime.GOARCH, DPDK: dpdk, Rounds: rounds, Seconds: seconds,
	}
}

// cpuinfoLine returns a line of /proc/cpuinfo. In virtual machines several kinds of processors have
// one name, and other lines tell them apart.
func cpuinfoLine(info, name string) string {
	if m := regexp.MustCompile(`(?m)^` + name + `\s*:\s*(.*)$`).FindStringSubmatch(info); m != nil {
		return m[1]
	}
	return ""
}

// cpuModel returns the processor's name in /proc/cpuinfo, which has none on some architectures.
func cpuModel(info string) string {
	name := cpuinfoLine(info, "model name")
	if name == "" {
		name = runtime.GOARCH
	}
	if family, model := cpuinfoLine(info, "cpu family"), cpuinfoLine(info, "model"); family != "" &&
		model != "" {
		name += fmt.Sprintf(" (family %s, model %s)", family, model)
	}
	if strings.Contains(info, " hypervisor ") {
		name += ", in a virtual machine"
	}
	return name
}

// loadAverages returns the three averages of /proc/loadavg.
func loadAverages(s string) string {
	f := strings.Fields(s)
	return strings.Join(f[:min(3, len(f))], " ")
}

// Title returns a name for the machine.
func (m Machine) Title() string { return fmt.Sprintf("%s, %d cores, %s", m.CPU, m.Cores, m.Kernel) }

var noSlug = regexp.MustCompile(`[^a-z0-9.]+`)

// slug returns the title in a form that can be a file name.
func (m Machine) slug() string {
	return strings.Trim(noSlug.ReplaceAllString(strings.ToLower(m.Title()), "-"), "-")
}

// lines returns pairs of a name and a value that describe the run.
func (r Run) lines() [][2]string {
	return [][2]string{
		{"Go", r.Golang},
		{"DPDK", r.DPDK},
		{"load before", r.Load},
		{"date", r.Date},
		{"measured", fmt.Sprintf("%d rounds of about %v seconds", r.Rounds, r.Seconds)},
	}
}
