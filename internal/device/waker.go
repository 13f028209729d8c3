//go:build linux || freebsd

package device

import "golang.org/x/sys/unix"

// waker is a pipe that ends one wait when its context ends or the port is closed. Two waits that
// shared a pipe could read each other's bytes, so each has its own.
type waker struct {
	read, write int
	next        *waker // in the port's list
	busy        bool
}

// waker returns a waker that no other wait uses. The port keeps wakers until it is closed.
func (p *Port) waker() (*waker, error) {
	p.wakeMu.Lock()
	defer p.wakeMu.Unlock()
	for w := p.wakers; w != nil; w = w.next {
		if !w.busy {
			w.busy = true
			return w, nil
		}
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	p.wakers = &waker{read: fds[0], write: fds[1], next: p.wakers, busy: true}
	return p.wakers, nil
}

// retire makes a waker free for the next wait.
func (p *Port) retire(w *waker) {
	p.wakeMu.Lock()
	defer p.wakeMu.Unlock()
	w.busy = false
}

// wakeAll ends all waits.
func (p *Port) wakeAll() {
	p.wakeMu.Lock()
	defer p.wakeMu.Unlock()
	for w := p.wakers; w != nil; w = w.next {
		w.Wake()
	}
}

// closeWakers closes the pipes. No wait is in progress.
func (p *Port) closeWakers() {
	for w := p.wakers; w != nil; w = w.next {
		unix.Close(w.read)
		unix.Close(w.write)
	}
}

// Wake implements wake.Sleeper.
func (w *waker) Wake() { unix.Write(w.write, []byte{0}) }

// drain empties the pipe, so that a byte for one wait does not end the next.
func (w *waker) drain() {
	var b [16]byte
	for {
		if n, err := unix.Read(w.read, b[:]); n <= 0 || err != nil {
			return
		}
	}
}
