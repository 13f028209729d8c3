package netmap

import "github.com/seed-48afdc40/netmap/internal/fault"

// Error is a failed operation. The errors of opening a port, here or with package embed, and those
// of a Port's methods are an *Error or wrap one. There are two exceptions: a bad name is a
// *portname.Error, and the end of a context is the context's error. The fields:
//
//	Op     string        // what was tried: "open", "allocate buffers"
//	Object string        // on what: a port name, a ring; may be empty
//	Errno  syscall.Errno // what a C program would have seen
//	Hint   string        // why, and what to do next; may be empty
//	Cause  error         // the error beneath; may be nil
//
// errors.Is finds the errno and the cause:
//
//	var e *netmap.Error
//	if errors.Is(err, syscall.EBUSY) && errors.As(err, &e) {
//		log.Printf("%s is in use: %s", e.Object, e.Hint)
//	}
type Error = fault.Error
