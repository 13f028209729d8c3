//go:build linux

// Package chardev makes a file behave as a character device: opened, mapped, asked by ioctl and poll. It is a FUSE file
// system whose root is one regular file, mounted on a regular file. It knows nothing of what the device is for.
//
// Mapping does not pass through us: every open is answered with a backing file (FUSE passthrough, Linux 6.9), whose pages
// the client maps.
//
//	client                kernel                      us
//	open    ------------> FUSE_OPEN ----------------> Driver.Open      answered with the backing file
//	mmap    ------------> maps the backing file
//	ioctl   ------------> FUSE_IOCTL ---------------> File.Ioctl
//	poll    ------------> FUSE_POLL ----------------> File.Poll
//	        wakes up <--- FUSE_NOTIFY_POLL <--------- Waker.Wake
//	close   ------------> FUSE_RELEASE -------------> File.Release     after the last descriptor is gone
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

// Driver is what stands behind a device.
type Driver interface {
	// Open is called for every open(2). Wake of the waker makes the clients that sleep on the file poll again.
	Open(caller Caller, wake *Waker) (File, syscall.Errno)
}

// File is an open file of the device, shared by all descriptors that stand for it. Methods may be called by several
// goroutines at once; Release comes last, once.
type File interface {
	// Ioctl answers a request. Data is what its number says that it carries: what the client wrote,
	// to be replaced by the answer. Requests without data are answered by the thread that reads all
	// requests and must not take long, unless Config.Slow says so. Others may: they return EINTR
	// when the caller is interrupted.
	Ioctl(caller Caller, request uint32, data []byte) syscall.Errno
	// Poll says which of the events are ready, after which the client may sleep until the waker wakes it. It may be asked
	// several times for one request. The caller waits for as long as Ioctl or Poll take, whatever happens to its process.
	Poll(caller Caller, events uint32) (ready uint32)
	// Release is called after the last descriptor has been closed.
	Release()
}

// Fed is a File to which the kernel brings news and calls no waker: it has to be looked at, or
// armed. While a thread looks for requests anyway, it looks at such files that clients wait for, which
// spares whoever brings the news a wake-up.
type Fed interface {
	File
	// Fed says whether such news may bring one of the events.
	Fed(events uint32) bool
	// Arm has the waker hear of the next news. It is called before a client sleeps.
	Arm(events uint32)
}

// Config describes a device node.
type Config struct {
	Path     string
	Mode     uint32 // permission bits
	UID, GID uint32
	Backing  int    // file that clients map
	Size     uint64 // of it, bytes
	// Workers is the number of threads that read requests, 0 to choose. Each spins for Spin before it sleeps, as long
	// as that pays.
	Workers int
	Spin    time.Duration
	// Slow says which ioctls without data may take long all the same; nil is none.
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
	last           uint64        // handle that was given last
	released       chan struct{} // closed when no release is under way, see turn
	parked         parkedPolls

	interrupts interrupts

	ready   chan error    // the outcome of INIT
	backed  chan struct{} // closed when there is a backing file
	dead    chan struct{} // closed when the last worker has ended
	slow    sync.WaitGroup
	workers sync.WaitGroup
	stop    int // eventfd that ends the workers
	closed  atomic.Bool
	once    sync.Once
}

// file is an open file with what the kernel knows it by.
type file struct {
	File
	fed   Fed // the same, if it is one, else nil
	waker Waker
	mu    sync.Mutex // one poll at a time
	heir  int        // the only thread that the file is armed for, 0 if there may be several; see Device.arm

	parking parking // under parkedPolls.mu
	chances int     // polls that may be parked in vain before parking is given up for a while
	skipped int     // polls since then
}

// Waker wakes the clients that sleep on a file.
type Waker struct {
	device *Device
	file   *file
	handle atomic.Uint64 // the kernel's, of the last poll
	armed  atomic.Bool   // somebody may sleep, or want to hear of the next event
}

// Wake makes sleeping clients poll again. It costs a load while nobody sleeps.
func (w *Waker) Wake() {
	if w.armed.Load() && w.armed.CompareAndSwap(true, false) && !w.device.wakeParked(w.file) {
		w.device.notify(w.handle.Load())
	}
}

// Mount makes the device node and serves it. The path is a regular file, made if there is none, or what a dead
// predecessor left mounted. EOPNOTSUPP on a kernel without FUSE passthrough.
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
	d := &Device{cfg: cfg, driver: driver, size: cfg.Size, born: time.Now().Unix(), mode: cfg.Mode, uid: cfg.UID, gid: cfg.GID,
		files: map[uint64]*file{}, released: make(chan struct{}), ready: make(chan error, 1),
		backed: make(chan struct{}), dead: make(chan struct{}), fd: -1, stop: -1}
	close(d.released)
	return d
}

// prepare sees to it that the path is a regular file that nothing is mounted on.
func (d *Device) prepare() error {
	// Attributes are cached, and look well for a while after a daemon's death; statfs is not.
	var sf unix.Statfs_t
	err := unix.Statfs(d.cfg.Path, &sf)
	for errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) {
		// The mount of one that did not live to unmount it.
		if err := unix.Unmount(d.cfg.Path, unix.MNT_DETACH); err != nil {
			return fault.Wrap(err, "unmount what is left on", d.cfg.Path, "")
		}
		err = unix.Statfs(d.cfg.Path, &sf)
		// Its file is ours to remove, if it is one as we make them.
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

// checkFree refuses a path that is in use, or is no file to hide.
func (d *Device) checkFree() error {
	var st unix.Stat_t
	var sf unix.Statfs_t
	if err := errors.Join(unix.Stat(d.cfg.Path, &st), unix.Statfs(d.cfg.Path, &sf)); err != nil {
		return fault.Wrap(err, "look at device node", d.cfg.Path, "")
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFCHR:
		return fault.New(syscall.EBUSY, "make device node", d.cfg.Path,
			"it is a character device, as that of netmap's kernel module: unload that, or use another path")
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fault.New(syscall.EINVAL, "make device node", d.cfg.Path, "it is there and no regular file; use another path")
	case sf.Type == unix.FUSE_SUPER_MAGIC:
		return fault.New(syscall.EBUSY, "make device node", d.cfg.Path, "another daemon serves it; stop that one or use another path")
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
		return fault.Wrap(err, "open", "/dev/fuse", "the kernel needs FUSE, and this process the right to use it")
	}
	if d.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fault.Wrap(err, "make device node", d.cfg.Path, "")
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions", d.fd, unix.S_IFREG|d.cfg.Mode)
	if err := unix.Mount("netmap", d.cfg.Path, "fuse.netmap", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return fault.Wrap(err, "mount device node", d.cfg.Path, "needs CAP_SYS_ADMIN")
	}
	d.mounted, d.mountID = true, mountID(d.cfg.Path)
	return nil
}

// mountID identifies what is mounted on the path. It asks nobody who might not answer.
func mountID(path string) uint64 {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID|unix.STATX_MNT_ID_UNIQUE, &st) != nil {
		return 0
	}
	return st.Mnt_id
}

// Dead is closed when the device serves nobody any more: somebody else unmounted it, or Close was called.
func (d *Device) Dead() <-chan struct{} { return d.dead }

// Close unmounts the node, releases all files, and removes what Mount made. Clients that have it open get ENOTCONN or
// ECONNABORTED from then on; their mappings stay.
func (d *Device) Close() error {
	d.once.Do(func() {
		d.closed.Store(true)
		// Somebody else may have unmounted it, and a successor may have mounted his.
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

// owner are the node's permission bits, user and group.
func (d *Device) owner() (mode, uid, gid uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mode, d.uid, d.gid
}

// file finds an open file by its handle, which the kernel sends back as we gave it.
func (d *Device) file(handle uint64) *file {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[handle]
}

// openBackingFile registers the file that clients map. The kernel takes it as soon as it has worked the answer to INIT in.
func (d *Device) openBackingFile() {
	var errno syscall.Errno
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && !d.closed.Load(); time.Sleep(time.Millisecond) {
		if d.backing, errno = openBacking(d.fd, d.cfg.Backing); errno == 0 {
			close(d.backed)
			d.outcome(nil)
			return
		}
	}
	d.outcome(fault.New(errno, "offer the memory of", d.cfg.Path, "the kernel does not take the file as one to pass through"))
}
