package portname

import (
	"fmt"
	"syscall"
)

// Error says what is wrong in a port name, where, and what would be right. It unwraps to Errno.
type Error struct {
	Input  string        // the whole name
	Offset int           // of the part that is wrong, in bytes
	Found  string        // that part: `ring number "x"`
	Want   string        // what would be right: "a decimal number"
	Errno  syscall.Errno // EINVAL; ENAMETOOLONG where a name would be right if it were shorter
}

func (e *Error) Error() string {
	return fmt.Sprintf("port name %q: %s at %d: want %s", e.Input, e.Found, e.Offset, e.Want)
}

// Unwrap returns Errno.
func (e *Error) Unwrap() error { return e.Errno }
