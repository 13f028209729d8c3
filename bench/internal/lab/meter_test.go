package lab

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A program counts a hundred frames every 100 ms, after a slower second in which it warms up.
func TestRatesLeaveOutTheStart(t *testing.T) {
	p := &Process{lines: make(chan Line, 100)}
	begin, count := time.Now(), 0
	for i := range 40 {
		if i >= 10 {
			count += 100
		} else if i >= 5 {
			count += 1 // the first frames: the program warms up from here on
		}
		p.lines <- Line{begin.Add(time.Duration(i) * 100 * time.Millisecond), fmt.Sprint("count ", count)}
	}
	marks := 0.0
	pps, second, err := Rates(context.Background(), p, counted, time.Second,
		func() (float64, error) { marks += 500; return marks, nil })
	if err != nil || pps != 1000 || second < 500 || second > 600 {
		t.Errorf("rates = %v, %v, %v, want 1000 and 500 to 600", pps, second, err)
	}
}

// A program whose traffic stops has no rate, not even 0.
func TestTrafficThatHalts(t *testing.T) {
	p := &Process{cmd: exec.Command("halting"), lines: make(chan Line, 100)}
	for i := range 40 {
		p.lines <- Line{time.Now().Add(time.Duration(i) * 100 * time.Millisecond), "count 256"}
	}
	pps, _, err := Rates(context.Background(), p, counted, time.Second, Unmarked)
	if err == nil || !strings.Contains(err.Error(), "halting") {
		t.Errorf("rates = %v, %v, want an error that names the program", pps, err)
	}
}

func TestProgramsThatEnd(t *testing.T) {
	p, err := Start([]string{"sh", "-c", "echo it is broken >&2; exit 3"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	_, _, err = Rates(context.Background(), p, counted, time.Second, Unmarked)
	if err == nil || !strings.Contains(err.Error(), "it is broken") ||
		!strings.Contains(err.Error(), "status 3") {
		t.Errorf("error %v: want what the program wrote, and its status", err)
	}
}

func TestProgramsThatHang(t *testing.T) {
	p, err := Start([]string{"sleep", "1000"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Await(ctx, "ready"); err == nil {
		t.Error("waiting for what does not come ended well")
	}
	p.Stop()
	if p.cmd.ProcessState == nil {
		t.Error("still running after stop")
	}
}

// counted reads "count 7".
func counted(text string) (float64, bool) {
	value, ok := Field(text, "count ", "")
	n, err := strconv.ParseFloat(value, 64)
	return n, ok && err == nil
}
