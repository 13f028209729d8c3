//go:build linux

package nics

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// wire is the way to the host, nil outside of a guest.
var wire *channel

// runGuest is the guest's first process: it makes a system of what the kernel leaves it, runs the scenarios and switches off.
func runGuest(m *testing.M) {
	code := 1
	if err := boot(); err != nil {
		fmt.Println("boot:", err)
	} else {
		os.Args = append(os.Args[:1], "-test.v", "-test.run=^TestGuest$")
		code = m.Run()
	}
	if wire != nil {
		wire.send(message{Ended: &code})
	}
	time.Sleep(300 * time.Millisecond)         // serial lines are slow
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // QEMU is told to end then
}

func boot() error {
	for dir, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/tmp": "tmpfs", "/run": "tmpfs"} {
		if err := unix.Mount(kind, dir, kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	os.Setenv("PATH", "/bin")
	os.Setenv("HOME", "/tmp")
	os.Setenv(testutil.RequireAll, "1")
	modules, err := filepath.Glob("/modules/*")
	if err != nil {
		return err
	}
	for _, path := range modules { // the order of names is that of loading
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
		f.Close()
	}
	wire, err = openChannel("/dev/ttyS1")
	return err
}

// channel carries JSON, a line a message, over a serial line.
type channel struct {
	file    *os.File
	answers *json.Decoder
}

func openChannel(path string) (*channel, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	tio, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	tio.Iflag, tio.Oflag, tio.Lflag = 0, 0, 0
	tio.Cc[unix.VMIN], tio.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, tio); err != nil {
		return nil, err
	}
	return &channel{f, json.NewDecoder(f)}, nil
}

// message is what a guest tells its host.
type message struct {
	Result *result  `json:",omitempty"`
	Ask    *command `json:",omitempty"`
	Ended  *int     `json:",omitempty"`
}

// command is one of QMP's.
type command struct {
	Execute   string         `json:"execute"`
	Arguments map[string]any `json:"arguments,omitempty"`
}

func (c *channel) send(m message) {
	b, err := json.Marshal(m)
	if err == nil {
		_, err = c.file.Write(append(b, '\n'))
	}
	if err != nil {
		fmt.Println("tell the host:", err)
	}
}

// ask has the host give QEMU a command, and returns why it failed, or "".
func (c *channel) ask(t *testing.T, execute string, arguments map[string]any) (failed string) {
	t.Helper()
	c.send(message{Ask: &command{execute, arguments}})
	if err := c.answers.Decode(&failed); err != nil {
		t.Fatalf("%s %v: %v", execute, arguments, err)
	}
	return failed
}
