//go:build linux

package chardev

import "sync"

// flushing is the state of a file's flush. The client has its answer, and may make its next request
// meanwhile. Another worker that read and served that request would wait for the flush, and no
// worker would be left for other clients. So it hands the request over to the worker that flushes.
type flushing struct {
	mu      sync.Mutex
	busy    bool
	n       int       // bytes of the request that was handed over, 0 for none
	request [128]byte // a poll, or an ioctl without data
}

// flushed returns the file of a request that may leave work, or nil.
func (d *Device) flushed(h header, body []byte) *file {
	if h.opcode != opPoll && h.opcode != opIoctl {
		return nil
	}
	if f := d.file(le.Uint64(body)); f != nil && f.flusher != nil {
		return f
	}
	return nil
}

// handOver gives a request to the worker that flushes the file. It returns false if there is none.
func (f *file) handOver(request []byte) bool {
	s := &f.flushing
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.busy || s.n > 0 || len(request) > len(s.request) {
		return false
	}
	s.n = copy(s.request[:], request)
	return true
}

// startFlush reports whether there is work that no other worker does. Then endFlush has to follow.
func (f *file) startFlush() bool {
	if !f.flusher.Owes() {
		return false
	}
	s := &f.flushing
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		return false // that worker looks again afterwards
	}
	s.busy = true
	return true
}

// endFlush takes the request that was handed over. It has n bytes; 0 means none.
func (f *file) endFlush(to []byte) (n int) {
	s := &f.flushing
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	n, s.n = copy(to, s.request[:s.n]), 0
	return n
}

// flush does the work that a request has left, and serves the requests that are handed over
// meanwhile. They overwrite w.in.
func (w *worker) flush(f *file) {
	if f == nil || f.flusher == nil || w.flushes {
		return
	}
	w.flushes = true
	for f.startFlush() {
		f.flusher.Flush()
		if n := f.endFlush(w.in); n > 0 {
			w.serve(w.in[:n])
		}
	}
	w.flushes = false
}
