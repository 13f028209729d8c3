//go:build linux

package doc

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// After the commands of the page, a program finds the module's parameters, and still finds the
// other modules.
func TestModuleParameters(t *testing.T) {
	if os.Geteuid() != 0 {
		testutil.Require(t, "root, to mount", syscall.EPERM)
	}
	text, err := os.ReadFile("../../doc/port.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "## Programs that read the module's parameters")
	_, after, block := strings.Cut(after, "```sh\n")
	script, _, end := strings.Cut(after, "```")
	if !ok || !block || !end {
		t.Fatal("doc/port.md has no block for the module's parameters")
	}
	const program = `
set -eu
modules=$(ls /sys/module)
` + "%s" + `
[ "$(cat /sys/module/netmap/parameters/buf_size)" = 2048 ]
for m in $modules; do [ -d "/sys/module/$m" ]; done
umount /sys/module
rm -r "$dir"
[ ! -e /sys/module/netmap ]
`
	sh := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c",
		strings.Replace(program, "%s", script, 1))
	if out, err := sh.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
