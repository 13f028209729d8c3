package main

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

// process is a program that takes part.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan line // what it writes; closed when it has ended
	err   error     // how it ended, once lines is closed

	mu   sync.Mutex
	tail []string // the last lines, for those who ask what went wrong
}

// line is what a program wrote, and when.
type line struct {
	at   time.Time
	text string
}

const (
	backlog  = 1024 // lines that are kept for who reads them; others get lost
	tailSize = 8
	goodTime = 3 * time.Second // between being asked to end and being made to
)

// start starts a program, whose standard input stays open and says nothing. It is asked to end when this program dies.
func start(argv []string, change ...func(*exec.Cmd)) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), lines: make(chan line, backlog)}
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
func (p *process) read(r *os.File) {
	defer r.Close()
	for s := bufio.NewScanner(r); s.Scan(); {
		l := line{time.Now(), s.Text()}
		p.remember(l.text)
		select {
		case p.lines <- l:
		default:
		}
	}
	p.err = p.cmd.Wait()
	close(p.lines)
}

func (p *process) remember(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tail = append(p.tail, text); len(p.tail) > tailSize {
		p.tail = p.tail[1:]
	}
}

// next is the next line. It is an error when the program has ended.
func (p *process) next(ctx context.Context) (line, error) {
	select {
	case l, ok := <-p.lines:
		if !ok {
			return line{}, p.died()
		}
		return l, nil
	case <-ctx.Done():
		return line{}, fmt.Errorf("%s: %w\n%s", p.name(), ctx.Err(), p.last())
	}
}

// await is the next line that contains the text.
func (p *process) await(ctx context.Context, text string) (line, error) {
	for {
		if l, err := p.next(ctx); err != nil || strings.Contains(l.text, text) {
			return l, err
		}
	}
}

// sleep passes time, unless the program ends before.
func (p *process) sleep(ctx context.Context, d time.Duration) error {
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

func (p *process) died() error {
	return fmt.Errorf("%s ended: %v\n%s", p.name(), p.err, p.last())
}

func (p *process) name() string { return filepath.Base(p.cmd.Path) }

func (p *process) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// stop asks the program to end, makes it, and waits until it has.
func (p *process) stop() {
	p.stdin.Close()
	p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(goodTime, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	for range p.lines { // until it is closed
	}
}
