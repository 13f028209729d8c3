package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that takes part.
type Process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan Line // its output; closed when the program has ended
	err   error     // how it ended, once lines is closed

	mu   sync.Mutex
	tail []string // the last lines, for error messages
}

// Line is a line of a program's output, and when it came.
type Line struct {
	At   time.Time
	Text string
}

const (
	backlog  = 1024 // lines that are kept for the reader; more are lost
	tailSize = 8
	goodTime = 3 * time.Second // between SIGTERM and SIGKILL
)

// Start starts a program. Its standard input stays open and empty. When the bench dies, the kernel
// sends SIGTERM to the program.
func Start(argv []string, change ...func(*exec.Cmd)) (*Process, error) {
	p := &Process{cmd: exec.Command(argv[0], argv[1:]...), lines: make(chan Line, backlog)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	for _, f := range change {
		f(p.cmd)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	go p.read(r)
	return p, nil
}

// read passes lines on until the program ends.
func (p *Process) read(r *os.File) {
	defer r.Close()
	for s := bufio.NewScanner(r); s.Scan(); {
		l := Line{time.Now(), s.Text()}
		p.remember(l.Text)
		select {
		case p.lines <- l:
		default:
		}
	}
	p.err = p.cmd.Wait()
	close(p.lines)
}

func (p *Process) remember(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tail = append(p.tail, text); len(p.tail) > tailSize {
		p.tail = p.tail[1:]
	}
}

// Next returns the next line, or an error if the program has ended.
func (p *Process) Next(ctx context.Context) (Line, error) {
	select {
	case l, ok := <-p.lines:
		if !ok {
			return Line{}, p.died()
		}
		return l, nil
	case <-ctx.Done():
		return Line{}, fmt.Errorf("%s: %w\n%s", p.name(), ctx.Err(), p.last())
	}
}

// Await returns the next line that contains the text.
func (p *Process) Await(ctx context.Context, text string) (Line, error) {
	for {
		if l, err := p.Next(ctx); err != nil || strings.Contains(l.Text, text) {
			return l, err
		}
	}
}

// Sleep waits, unless the program ends first.
func (p *Process) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case _, ok := <-p.lines:
			if !ok {
				return p.died()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Process) died() error {
	return fmt.Errorf("%s ended: %v\n%s", p.name(), p.err, p.last())
}

func (p *Process) name() string { return filepath.Base(p.cmd.Path) }

func (p *Process) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// Stop asks the program to end, kills it after goodTime, and waits for its end.
func (p *Process) Stop() {
	p.stdin.Close()
	p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(goodTime, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	for range p.lines { // until it is closed
	}
}
