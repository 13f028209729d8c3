package status

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/textproto"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Path is where the API has the document.
const Path = "/v1/status"

// Patience is how long an answer may take.
const Patience = 5 * time.Second

// Longest is the longest answer that is read. Whoever is asked may write without an end.
const Longest = 64 << 20

// DefaultSocket is the unix socket of the daemon that serves a device node: in /run/netmap for
// nodes in /dev, else beside the node.
func DefaultSocket(device string) string {
	if name, ok := strings.CutPrefix(device, "/dev/"); ok {
		return filepath.Join("/run/netmap", strings.ReplaceAll(name, "/", "-")+".sock")
	}
	return device + ".sock"
}

// Ask asks at a unix socket. It speaks HTTP just well enough for that, so that a program that opens
// a port of a device does not get all of HTTP with it. Errors are those of the connection,
// ETIMEDOUT, the context's, and EPROTO for an answer that is none.
func Ask(ctx context.Context, socket string) (*Status, error) {
	const op = "ask for the status at"
	ctx, stop := context.WithTimeout(ctx, Patience)
	defer stop()
	c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, askError(ctx, err, op, socket)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(c, "GET "+Path+" HTTP/1.0\r\nHost: netmap\r\n\r\n"); err != nil {
		return nil, askError(ctx, err, op, socket)
	}
	answer := textproto.NewReader(bufio.NewReader(io.LimitReader(c, Longest)))
	line, err := answer.ReadLine()
	if err == nil && strings.HasPrefix(line, "HTTP/1") {
		_, err = answer.ReadMIMEHeader()
	}
	if err != nil && fault.Errno(err) != syscall.EIO || ctx.Err() != nil {
		return nil, askError(ctx, err, op, socket)
	}
	protocol, code, _ := strings.Cut(line, " ")
	if err != nil || !strings.HasPrefix(protocol, "HTTP/1") || !strings.HasPrefix(code, "200") {
		return nil, fault.New(syscall.EPROTO, op, socket,
			"it answers %.40q; is this a netmap daemon?", code)
	}
	s := new(Status)
	if err := json.NewDecoder(answer.R).Decode(s); err != nil {
		if ctx.Err() != nil {
			return nil, askError(ctx, err, op, socket)
		}
		return nil, fault.New(syscall.EPROTO, op, socket, "its answer cannot be read: %v", err)
	}
	return s, nil
}

// askError says why there was no answer.
func askError(ctx context.Context, err error, op, socket string) error {
	switch ctx.Err() {
	case context.DeadlineExceeded:
		return fault.New(syscall.ETIMEDOUT, op, socket,
			"the program there does not answer: is it stopped?")
	case context.Canceled:
		return fault.Wrap(ctx.Err(), op, socket, "")
	}
	if errno := fault.Errno(err); errno != syscall.EIO {
		return fault.New(errno, op, socket, "%s", Hint(errno))
	}
	return fault.Wrap(err, op, socket, "")
}

// Hint is what to do when nobody answers.
func Hint(errno syscall.Errno) string {
	switch errno {
	case syscall.ENOENT, syscall.ECONNREFUSED:
		return "no daemon is there: start netmap serve, or name its socket with --status"
	case syscall.EACCES:
		return "join the group of the device, or run as root"
	}
	return ""
}
