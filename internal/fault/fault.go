// Package fault has the one type of errors in netmap: an operation, its object, an errno, and what
// to do.
package fault

import (
	"errors"
	"fmt"
	"syscall"
)

// Error describes a failed operation. errors.Is finds its errno.
type Error struct {
	Op     string        // the operation: "open", "allocate buffers"
	Object string        // its object: a port name, a ring; may be empty
	Errno  syscall.Errno // what a C program gets
	Hint   string        // the reason, and what to do next
	Cause  error         // may be nil
}

// New returns an Error without a cause. The hint is a format for args.
func New(errno syscall.Errno, op, object, hint string, args ...any) *Error {
	return &Error{Op: op, Object: object, Errno: errno, Hint: fmt.Sprintf(hint, args...)}
}

// Wrap returns an Error with a cause and the cause's errno, which is EIO if the cause has none.
func Wrap(cause error, op, object, hint string, args ...any) *Error {
	e := New(Errno(cause), op, object, hint, args...)
	e.Cause = cause
	return e
}

// Hints are the hints for the errnos of one call. An errno that is not in the map gets no hint,
// because a guessed hint misleads.
type Hints map[syscall.Errno]string

// Wrap is Wrap with the hint for the errno of the cause. If the cause has a hint of its own, no
// second one is added.
func (h Hints) Wrap(cause error, op, object string) *Error {
	var told *Error
	if errors.As(cause, &told) && told.Hint != "" {
		return Wrap(cause, op, object, "")
	}
	return Wrap(cause, op, object, "%s", h[Errno(cause)])
}

// Errno is the errno of err: EIO if err has none, 0 for nil.
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

// Error formats the error: "op object: errno: hint".
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

// Unwrap returns errno and cause for errors.Is.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Errno}
	}
	return []error{e.Errno, e.Cause}
}
