//go:build linux

package control_test

import (
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
)

// TestQuirks tests the peculiar answers of the kernel module, and those of this framework. See the
// table in doc/compatibility.md.
func TestQuirks(t *testing.T) {
	w := newWorld(t)
	w.bind(w.client(), "vale0:a")
	register := func(name string, change func(*abi.Register)) syscall.Errno {
		r := abi.Register{Mode: abi.RegAllNIC, TxSlots: 8, RxSlots: 8}
		change(&r)
		c := w.client()
		_, _, e := ask(c, newProcess(), abi.ReqRegister, name, r)
		c.Close()
		return e
	}
	mode := func(mode uint32) func(*abi.Register) { return func(r *abi.Register) { r.Mode = mode } }
	flags := func(flags uint64) func(*abi.Register) {
		return func(r *abi.Register) { r.Flags = flags }
	}
	all := flags(0)
	for _, c := range []struct {
		what string
		got  syscall.Errno
		want syscall.Errno
	}{
		{"a switch without a port", register("vale0", all), syscall.ENOMEM},
		{"a switch with a bad name", register("vale-0:a", all), syscall.ENOMEM},
		{"a port without a name", register("vale0:", all), ok},
		{"a switch without a number", register("vale:a", all), ok},
		{"an interface as a port", register("vale0:lo", all), syscall.EINVAL},
		{"a name that starts with val is no switch's", register("valid0", all), syscall.ENXIO},
		{"mode 0", register("vale0:b", mode(0)), syscall.EINVAL},
		{"a mode that is none", register("vale0:b", mode(9)), syscall.EINVAL},
		{"the modes of old pipes", register("vale0:b", mode(abi.RegPipeMaster)), syscall.EINVAL},
		{"flags that do nothing", register("vale0:b", flags(abi.NRDoRxPoll|abi.NRPtnetmapHost|1<<40)),
			ok},
		{"a monitor of a port that nobody has",
			register("vale0:nobody", flags(abi.NRMonitorRx)), syscall.EINVAL},
		{"a monitor of an interface that is not there",
			register("nobody", flags(abi.NRMonitorRx)), syscall.ENXIO},
	} {
		wantErrno(t, c.what, c.got, c.want)
	}
	for _, c := range []struct {
		kind uint16
		name string
		want syscall.Errno
	}{
		{abi.ReqValeDetach, "vale0:a", syscall.EBUSY},
		{abi.ReqValeDetach, "vale0:b", syscall.ENXIO},
		{abi.ReqValeDetach, "vale9:b", syscall.ENXIO},
		{abi.ReqValeAttach, "vale0:nobody", syscall.EINVAL},
		{abi.ReqValeAttach, "vale0:a", syscall.EBUSY},
	} {
		body := abi.ValeAttach{Reg: abi.Register{Mode: abi.RegAllNIC}}
		_, _, e := ask(w.client(), newProcess(), c.kind, c.name, body)
		wantErrno(t, c.name, e, c.want)
	}
	_, _, e := ask(w.client(), newProcess(), abi.ReqValeDelIf, "nobody", struct{}{})
	wantErrno(t, "delete what is not there", e, syscall.ENXIO)
}
