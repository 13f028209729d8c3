//go:build linux

package chardev

import (
	"os"

	"golang.org/x/sys/unix"
)

// below is the file on which a device is mounted. Daemons in other mount namespaces that share its
// directory may have mounted their devices on it, too, and to remove it would remove their mounts.
// So each daemon holds a shared lock, and removes the file only if it gets the exclusive lock.
type below struct{ file *os.File }

// hold takes the shared lock, before anything is mounted. If it fails, remove removes the file all
// the same.
func (b *below) hold(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	b.file = f
}

// remove removes the file unless other daemons hold it. Our device is unmounted before.
func (b *below) remove(path string) {
	if b.file == nil || unix.Flock(int(b.file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		os.Remove(path)
	}
}

func (b *below) close() {
	if b.file != nil {
		b.file.Close()
	}
}
