//go:build linux

package chardev

import (
	"os"

	"golang.org/x/sys/unix"
)

// below is the file on which a device is mounted. Daemons in other mount namespaces that share its
// directory may have mounted theirs on it, too: removing it would take their mounts away. So each holds a
// shared lock, and it is removed by who can have it alone.
type below struct{ file *os.File }

// hold takes the shared lock, before anything is mounted. Without it the file is removed all the same.
func (b *below) hold(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	b.file = f
}

// remove removes the file, unless others hold it. Nothing of ours is mounted on it any more.
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
