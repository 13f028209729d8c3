package helper

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// withDevice runs a program whose /dev has little but /dev/netmap. The helper runs in a separate
// mount namespace.
func withDevice(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("with-device: want a node and a command")
	}
	program, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	if program, err = filepath.Abs(program); err != nil {
		return err
	}
	if err := unix.Mount("dev", "/dev", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount a /dev: %w", err)
	}
	if err := os.WriteFile("/dev/netmap", nil, 0o600); err != nil {
		return err
	}
	if err := unix.Mount(args[0], "/dev/netmap", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s on /dev/netmap: %w", args[0], err)
	}
	return syscall.Exec(program, args[1:], os.Environ())
}

// pinned runs a program on one core.
func pinned(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("pinned: want a core and a command")
	}
	runtime.LockOSThread() // the program inherits the affinity of this thread
	if err := stayOn(number(args[0])); err != nil {
		return err
	}
	program, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	return syscall.Exec(program, args[1:], os.Environ())
}

// stayOn binds the thread to a core.
func stayOn(core int) error {
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("stay on core %d: %w", core, err)
	}
	return nil
}
