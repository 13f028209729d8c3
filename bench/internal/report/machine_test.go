package report

import "testing"

func TestMachine(t *testing.T) {
	info := "processor\t: 0\nmodel name\t: Fast One 3000\ncpu family\t: 25\nmodel\t\t: 17\n" +
		"flags\t\t: fpu vme hypervisor avx\n\nprocessor\t: 1\nmodel name\t: Fast One 3000\n"
	want := "Fast One 3000 (family 25, model 17), in a virtual machine"
	if got := cpuModel(info); got != want {
		t.Errorf("cpuModel = %q, want %q", got, want)
	}
	if got, want := loadAverages("2.63 1.61 1.10 5/110 9904\n"), "2.63 1.61 1.10"; got != want {
		t.Errorf("loadAverages = %q, want %q", got, want)
	}
}
