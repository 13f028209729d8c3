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

// Path is the path of the status in the API's URLs.
const Path = "/v1/status"

// Patience is the longest time that Ask waits for the whole answer.
const Patience = 5 * time.Second

// Longest is the number of bytes of an answer after which reading ends: the other side might not
// stop.
const Longest = 64 << 20

// DefaultSocket is the path of the unix socket at which the daemon of a device node offers its
// status: in /run/netmap for nodes in /dev, else beside the node.
func DefaultSocket(device string) string {
	if name, ok := strings.CutPrefix(device, "/dev/"); ok {
		return filepath.Join("/run/netmap", strings.ReplaceAll(name, "/", "-")+".sock")
	}
	return device + ".sock"
}

// Ask reads the status at a unix socket. It speaks a minimum of HTTP, so that a program that opens
// a port does not link package net/http. Errors are those of the connection, the context's,
// ETIMEDOUT, and EPROTO for an answer that is not a status.
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

// askError is the error when there is no answer.
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

// Hint tells what to do about the errno of a failed connection.
func Hint(errno syscall.Errno) string {
	switch errno {
	case syscall.ENOENT, syscall.ECONNREFUSED:
		return "no daemon is there: start netmap serve, or name its socket with --status"
	case syscall.EACCES:
		return "join the group of the device, or run as root"
	}
	return ""
}
