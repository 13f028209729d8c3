// Package testutil is what the tests of this project share: skipping with a reason, network namespaces with veth pairs
// between them, and a check that a test leaves nothing behind.
package testutil

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// RequireAll is the environment variable that, set to 1, turns every skip of Require into a failure. A machine that is
// known to have everything sets it, so that a test cannot be skipped there for good.
const RequireAll = "NETMAP_REQUIRE_ALL"

// Require goes on when err is nil. When err says that this machine lacks something (a privilege, a system call, a
// protocol, a file, a program), the test is skipped and what names the missing thing. Any other error is a failure: a
// bug must not hide as a skip.
func Require(t testing.TB, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case !missing(err):
		t.Fatalf("needs %s: %v", what, err)
	case os.Getenv(RequireAll) == "1":
		t.Fatalf("needs %s, and %s=1 forbids to skip: %v", what, RequireAll, err)
	default:
		t.Skipf("needs %s: %v", what, err)
	}
}

// missing tells an error that means "not on this machine" from one that means "something is wrong".
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
