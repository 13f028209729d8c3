package cli

import "testing"

func TestParseQuantity(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want float64
		bad  bool
	}{
		{in: "0"}, {in: "1", want: 1}, {in: "100k", want: 1e5}, {in: "100K", want: 1e5},
		{in: "1.5M", want: 1.5e6}, {in: "2g", want: 2e9},
		{in: "0.5", want: 0.5}, {in: "1e6", want: 1e6},
		{in: "", bad: true}, {in: "k", bad: true}, {in: "-1", bad: true}, {in: "1x", bad: true},
		{in: "1kk", bad: true}, {in: "NaN", bad: true},
		{in: "inf", bad: true}, {in: "0x10", bad: true}, {in: "1_000", bad: true},
		{in: "1e300", bad: true},
	} {
		got, err := ParseQuantity(tt.in)
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("ParseQuantity(%q) = %v, %v; want %v, an error: %v", tt.in, got, err, tt.want, tt.bad)
		}
	}
}

func TestParseCount(t *testing.T) {
	if got, err := ParseCount("1.5k"); got != 1500 || err != nil {
		t.Errorf("1.5k is %d, %v; want 1500", got, err)
	}
	if got, err := ParseCount("1.5"); err == nil {
		t.Errorf("1.5 is %d, want an error", got)
	}
}

func TestNorm(t *testing.T) {
	for v, want := range map[float64]string{0: "0.000 ", 999: "999.000 ", 14.88e6: "14.880 M",
		1e3: "1.000 K", 2.5e9: "2.500 G", 1e13: "10000.000 G"} {
		if got := Norm(v); got != want {
			t.Errorf("Norm(%v) = %q, want %q", v, got, want)
		}
	}
}
