//go:build linux || freebsd

package netmap

import "golang.org/x/sys/unix"

// waker is a pipe that ends one wait when its context ends, or the port is closed. Each wait has one of its own: two that
// shared it could take each other's bytes.
type waker struct {
	read, write int
	next        *waker // in the list of all
	busy        bool
}

// waker is one that no other wait has. They are kept until the port is closed.
func (d *device) waker() (*waker, error) {
	d.wakeMu.Lock()
	defer d.wakeMu.Unlock()
	for w := d.wakers; w != nil; w = w.next {
		if !w.busy {
			w.busy = true
			return w, nil
		}
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	d.wakers = &waker{read: fds[0], write: fds[1], next: d.wakers, busy: true}
	return d.wakers, nil
}

// retire takes a waker back.
func (d *device) retire(w *waker) {
	d.wakeMu.Lock()
	defer d.wakeMu.Unlock()
	w.busy = false
}

// wakeAll ends all waits.
func (d *device) wakeAll() {
	d.wakeMu.Lock()
	defer d.wakeMu.Unlock()
	for w := d.wakers; w != nil; w = w.next {
		w.Wake()
	}
}

// closeWakers is for when nobody waits any more.
func (d *device) closeWakers() {
	for w := d.wakers; w != nil; w = w.next {
		unix.Close(w.read)
		unix.Close(w.write)
	}
}

// Wake implements wake.Sleeper.
func (w *waker) Wake() { unix.Write(w.write, []byte{0}) }

// drain empties the pipe: what was written for one wait must not end another.
func (w *waker) drain() {
	var b [16]byte
	for {
		if n, err := unix.Read(w.read, b[:]); n <= 0 || err != nil {
			return
		}
	}
}
