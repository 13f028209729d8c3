// Package fault is the one shape of error in netmap: what was tried, on what, which errno came of it, and what to do.
package fault

import (
	"errors"
	"fmt"
	"syscall"
)

// Error is a failed operation. errors.Is finds its errno.
type Error struct {
	Op     string        // what was tried: "open", "allocate buffers"
	Object string        // on what: a port name, a ring; may be empty
	Errno  syscall.Errno // what a C program would have seen
	Hint   string        // why, and what to do next
	Cause  error         // what lies beneath, may be nil
}

// New is an Error without a cause. The hint is a format with its arguments.
func New(errno syscall.Errno, op, object, hint string, args ...any) *Error {
	return &Error{Op: op, Object: object, Errno: errno, Hint: fmt.Sprintf(hint, args...)}
}

// Wrap is an Error with a cause, whose errno it keeps; EIO where the cause has none.
func Wrap(cause error, op, object, hint string, args ...any) *Error {
	e := New(Errno(cause), op, object, hint, args...)
	e.Cause = cause
	return e
}

// Hints say what to do about each errno of one call. An errno that is not among them gets no hint:
// one that is guessed misleads.
type Hints map[syscall.Errno]string

// Wrap is Wrap with the hint for the errno of the cause. A cause that has a hint of its own gets no
// second one.
func (h Hints) Wrap(cause error, op, object string) *Error {
	var told *Error
	if errors.As(cause, &told) && told.Hint != "" {
		return Wrap(cause, op, object, "")
	}
	return Wrap(cause, op, object, "%s", h[Errno(cause)])
}

// Errno is the errno that err carries, EIO if it carries none, 0 for nil.
func Errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return syscall.EIO
}

// Error is "op object: errno: hint".
func (e *Error) Error() string {
	s := e.Op
	if e.Object != "" {
		s += " " + e.Object
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	} else {
		s += ": " + e.Errno.Error()
	}
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Unwrap gives errors.Is the errno and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Errno}
	}
	return []error{e.Errno, e.Cause}
}
