package portname

import (
	"fmt"
	"syscall"
)

// Error describes the part of a port name that is wrong, and what would be right. It unwraps to
// Errno.
type Error struct {
	Input  string        // the whole name
	Offset int           // where the wrong part starts, in bytes
	Found  string        // the wrong part: `ring number "x"`
	Want   string        // what would be right: "a decimal number"
	Errno  syscall.Errno // EINVAL, or ENAMETOOLONG for a name that is right but too long
}

func (e *Error) Error() string {
	return fmt.Sprintf("port name %q: %s at %d: want %s", e.Input, e.Found, e.Offset, e.Want)
}

// Unwrap returns Errno.
func (e *Error) Unwrap() error { return e.Errno }
