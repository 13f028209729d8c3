//go:build linux

// Package chardev makes a file behave as a character device, with open, mmap, ioctl and poll. The
// device is a FUSE file system whose root is one regular file, mounted on a regular file. The
// package does not know what the device is for.
//
// Mappings do not pass through the daemon: it answers every open with a backing file (FUSE
// passthrough, Linux 6.9), whose pages the client maps.
//
//	client                kernel                      daemon
//	open    ------------> FUSE_OPEN ----------------> Driver.Open      answered with the backing file
//	mmap    ------------> maps the backing file
//	ioctl   ------------> FUSE_IOCTL ---------------> File.Ioctl
//	poll    ------------> FUSE_POLL ----------------> File.Poll
//	        wakes up <--- FUSE_NOTIFY_POLL <--------- Waker.Wake
//	close   ------------> FUSE_RELEASE -------------> File.Release     after the last close(2)
package chardev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Driver implements a device.
type Driver interface {
	// Open is called for every open(2). wake.Wake makes the clients that sleep on the file poll
	// again.
	Open(caller Caller, wake *Waker) (File, syscall.Errno)
}

// File is an open file of the device, shared by all descriptors that refer to it. Several
// goroutines may call its methods at once. Release is called once, as the last method.
type File interface {
	// Ioctl answers a request. data is as long as the request's number states: it holds what the
	// client wrote, and Ioctl replaces it by the answer. The thread that reads all requests answers
	// those without data. So they must not take long, unless Config.Slow reports that they may.
	// Requests that may take long return EINTR when the caller is interrupted.
	Ioctl(caller Caller, request uint32, data []byte) syscall.Errno
	// Poll returns the events that are ready. If there are none, the client may sleep until the
	// waker is called. One request may call Poll several times. The caller waits until Ioctl or
	// Poll returns, even if its process is killed.
	Poll(caller Caller, events uint32) (ready uint32)
	// Release is called after the last descriptor has been closed.
	Release()
}

// Fed is a File to which the kernel brings news without calling a waker, so that it has to be
// polled or armed. While a thread looks for requests anyway, it also polls such files if clients
// wait for them. This saves the source of the news a wake-up.
type Fed interface {
	File
	// Fed reports whether such news may bring one of the events.
	Fed(events uint32) bool
	// Arm makes the next news call the waker. It is called before a client sleeps.
	Arm(events uint32)
}

// Config describes a device node.
type Config struct {
	Path     string
	Mode     uint32 // permission bits
	UID, GID uint32
	Backing  int    // the file that clients map
	Size     uint64 // of the file, in bytes
	// Workers is the number of threads that read requests; 0 chooses. Each looks for requests for
	// the time Spin before it sleeps, as long as that pays.
	Workers int
	Spin    time.Duration
	// Slow reports whether an ioctl without data may take long; nil means that none may.
	Slow func(request uint32) bool
}

// Device is a mounted device node.
type Device struct {
	cfg     Config
	driver  Driver
	fd      int // of /dev/fuse
	below   below
	created bool
	mounted bool
	mountID uint64
	size    uint64
	born    int64
	backing int32

	mu             sync.Mutex
	mode, uid, gid uint32
	files          map[uint64]*file
	last           uint64        // the handle that was given out last
	released       chan struct{} // closed when no release is in progress, see turn
	parked         parkedPolls

	interrupts interrupts

	ready   chan error    // the result of INIT
	backed  chan struct{} // closed when the kernel has accepted the backing file
	dead    chan struct{} // closed when the last worker has ended
	slow    sync.WaitGroup
	workers sync.WaitGroup
	stop    int // eventfd that ends the workers
	closed  atomic.Bool
	once    sync.Once
}

// file is an open file with its state in the daemon.
type file struct {
	File
	fed   Fed // File as Fed, or nil
	waker Waker
	mu    sync.Mutex // held during a poll
	only  int        // the only thread to wake, 0 if there may be several; see Device.arm

	parking parking // under parkedPolls.mu
	chances int     // how many more polls may be parked in vain before parking is suspended
	skipped int     // polls since parking was suspended
}

// Waker wakes the clients that sleep on a file.
type Waker struct {
	device *Device
	file   *file
	handle atomic.Uint64 // the kernel's, of the last poll
	armed  atomic.Bool   // a client may sleep, or wait for the next event
}

// Wake makes sleeping clients poll again. If no client sleeps, it costs one load.
func (w *Waker) Wake() {
	if w.armed.Load() && w.armed.CompareAndSwap(true, false) && !w.device.wakeParked(w.file) {
		w.device.notify(w.handle.Load())
	}
}

// Mount makes the device node and serves it. The path is a regular file, which is made if it does
// not exist, or a mount that a dead daemon left. Mount returns EOPNOTSUPP on a kernel without FUSE
// passthrough.
func Mount(cfg Config, driver Driver) (*Device, error) {
	d := newDevice(cfg, driver)
	if err := d.prepare(); err != nil {
		return nil, err
	}
	d.below.hold(d.cfg.Path)
	if err := d.mount(); err != nil {
		d.Close()
		return nil, err
	}
	for range d.cfg.Workers {
		d.workers.Add(1)
		go newWorker(d).run()
	}
	go func() {
		d.workers.Wait()
		close(d.dead)
	}()
	if err := <-d.ready; err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func newDevice(cfg Config, driver Driver) *Device {
	if cfg.Workers == 0 {
		cfg.Workers = max(1, min(4, runtime.NumCPU()/2))
	}
	d := &Device{cfg: cfg, driver: driver, size: cfg.Size, born: time.Now().Unix(),
		mode: cfg.Mode, uid: cfg.UID, gid: cfg.GID,
		files: map[uint64]*file{}, released: make(chan struct{}), ready: make(chan error, 1),
		backed: make(chan struct{}), dead: make(chan struct{}), fd: -1, stop: -1}
	close(d.released)
	return d
}

// prepare makes sure that the path is a regular file on which nothing is mounted.
func (d *Device) prepare() error {
	// After a daemon's death, stat succeeds for a while, because attributes are cached; statfs
	// fails.
	var sf unix.Statfs_t
	err := unix.Statfs(d.cfg.Path, &sf)
	for errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) {
		// A daemon died before it could unmount its device.
		if err := unix.Unmount(d.cfg.Path, unix.MNT_DETACH); err != nil {
			return fault.Wrap(err, "unmount what is left on", d.cfg.Path, "")
		}
		err = unix.Statfs(d.cfg.Path, &sf)
		// We remove the file at the end if it looks like one that we make.
		f, _ := os.Stat(d.cfg.Path)
		d.created = f != nil && f.Size() == 0 && f.Mode() == nodeMode
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f, err := os.OpenFile(d.cfg.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, nodeMode)
		if err != nil {
			return fault.Wrap(err, "make device node", d.cfg.Path, "%s", makeHint(err))
		}
		d.created = true
		return f.Close()
	case err != nil:
		return fault.Wrap(err, "look at device node", d.cfg.Path, "")
	}
	return d.checkFree()
}

// nodeMode is the mode of the file below the mount.
const nodeMode = 0o600

// checkFree returns an error for a path that is in use, or that is not a regular file.
func (d *Device) checkFree() error {
	var st unix.Stat_t
	var sf unix.Statfs_t
	if err := errors.Join(unix.Stat(d.cfg.Path, &st), unix.Statfs(d.cfg.Path, &sf)); err != nil {
		return fault.Wrap(err, "look at device node", d.cfg.Path, "")
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFCHR:
		return fault.New(syscall.EBUSY, "make device node", d.cfg.Path,
			"it is a character device, such as that of netmap's kernel module: unload the module, or "+
				"use another path")
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fault.New(syscall.EINVAL, "make device node", d.cfg.Path,
			"it exists and is not a regular file; use another path")
	case sf.Type == unix.FUSE_SUPER_MAGIC:
		return fault.New(syscall.EBUSY, "make device node", d.cfg.Path,
			"another daemon serves it; stop that one or use another path")
	}
	return nil
}

func makeHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "run as root"
	case errors.Is(err, fs.ErrNotExist):
		return "make its directory first"
	}
	return ""
}

func (d *Device) mount() (err error) {
	if d.fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return fault.Wrap(err, "open", "/dev/fuse",
			"the kernel needs FUSE, and this process the right to use it")
	}
	if d.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fault.Wrap(err, "make device node", d.cfg.Path, "")
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions",
		d.fd, unix.S_IFREG|d.cfg.Mode)
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("netmap", d.cfg.Path, "fuse.netmap", flags, options); err != nil {
		return fault.Wrap(err, "mount device node", d.cfg.Path, "needs CAP_SYS_ADMIN")
	}
	d.mounted, d.mountID = true, mountID(d.cfg.Path)
	return nil
}

// mountID identifies what is mounted on the path. It makes no request to a file system, which might
// not answer.
func mountID(path string) uint64 {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC,
		unix.STATX_MNT_ID|unix.STATX_MNT_ID_UNIQUE, &st) != nil {
		return 0
	}
	return st.Mnt_id
}

// Dead is closed when the device serves nobody any more: it was unmounted, or Close was called.
func (d *Device) Dead() <-chan struct{} { return d.dead }

// Close unmounts the node, releases all files, and removes what Mount made. Clients that have it
// open then get ENOTCONN or ECONNABORTED. Their mappings stay.
func (d *Device) Close() error {
	d.once.Do(func() {
		d.closed.Store(true)
		// The device may have been unmounted before, and another daemon may have mounted its own.
		if d.mounted && d.mountID == mountID(d.cfg.Path) {
			unix.Unmount(d.cfg.Path, unix.MNT_DETACH)
		}
		if d.stop >= 0 {
			unix.Write(d.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
			d.workers.Wait()
			d.endParked()
			d.interrupts.all()
			d.slow.Wait()
			unix.Close(d.stop)
		}
		if d.fd >= 0 {
			unix.Close(d.fd)
		}
		if d.created {
			d.below.remove(d.cfg.Path)
		}
		d.below.close()
		d.releaseAll()
	})
	return nil
}

func (d *Device) releaseAll() {
	d.mu.Lock()
	files := d.files
	d.files = nil
	d.mu.Unlock()
	for _, f := range files {
		f.Release()
	}
}

// owner returns the node's permission bits, user and group.
func (d *Device) owner() (mode, uid, gid uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mode, d.uid, d.gid
}

// file returns an open file by its handle. open chose the handle, and the kernel sends it back.
func (d *Device) file(handle uint64) *file {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[handle]
}

// openBackingFile registers the file that clients map. The kernel accepts it only after it has
// processed the answer to INIT.
func (d *Device) openBackingFile() {
	var errno syscall.Errno
	end := time.Now().Add(5 * time.Second)
	for ; time.Now().Before(end) && !d.closed.Load(); time.Sleep(time.Millisecond) {
		if d.backing, errno = openBacking(d.fd, d.cfg.Backing); errno == 0 {
			close(d.backed)
			d.outcome(nil)
			return
		}
	}
	d.outcome(fault.New(errno, "offer the memory of", d.cfg.Path,
		"the kernel does not accept the file for passthrough"))
}
