// Package testutil is what the tests of this project share: skips with a reason, network namespaces
// with veth pairs between them, and a check for leaks.
package testutil

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// RequireAll is an environment variable. With the value 1 it turns every skip of Require into a
// failure. Machines that have everything set it, so that no test is skipped on all machines.
const RequireAll = "NETMAP_REQUIRE_ALL"

// Require returns if err is nil. If err means that the machine lacks something (a privilege, a
// system call, a protocol, a file, a program), it skips the test, and what names the missing thing.
// Any other error fails the test, so that a skip does not hide a bug.
func Require(t testing.TB, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case !missing(err):
		t.Fatalf("needs %s: %v", what, err)
	case os.Getenv(RequireAll) == "1":
		t.Fatalf("needs %s, and %s=1 forbids skips: %v", what, RequireAll, err)
	default:
		t.Skipf("needs %s: %v", what, err)
	}
}

// missing distinguishes errors that mean that the machine lacks something from other errors.
func missing(err error) bool {
	for _, e := range []error{
		fs.ErrPermission,      // EPERM, EACCES
		fs.ErrNotExist,        // ENOENT
		errors.ErrUnsupported, // ENOSYS, ENOTSUP, EOPNOTSUPP
		exec.ErrNotFound,
		syscall.EAFNOSUPPORT,
		syscall.EPROTONOSUPPORT,
		syscall.ENODEV,
		syscall.EROFS,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
