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

// wire is the connection to the host, nil outside of a guest.
var wire *channel

// runGuest is the guest's first process. It mounts file systems, loads drivers, runs the scenarios
// and switches off.
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
	time.Sleep(300 * time.Millisecond)         // the serial line is slow
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // ends QEMU (-no-reboot)
}

func boot() error {
	for dir, kind := range map[string]string{
		"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/tmp": "tmpfs", "/run": "tmpfs",
	} {
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
	for _, path := range modules { // they are loaded in the order of their names
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

// channel is a serial line with one JSON message a line.
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

// message is a message from a guest to its host.
type message struct {
	Result *result  `json:",omitempty"`
	Ask    *command `json:",omitempty"`
	Ended  *int     `json:",omitempty"`
}

// command is a command of QMP.
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

// ask asks the host to give QEMU a command. It returns the reason of a failure, or "".
func (c *channel) ask(t *testing.T, execute string, arguments map[string]any) (failed string) {
	t.Helper()
	c.send(message{Ask: &command{execute, arguments}})
	if err := c.answers.Decode(&failed); err != nil {
		t.Fatalf("%s %v: %v", execute, arguments, err)
	}
	return failed
}
