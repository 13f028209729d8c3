package portname_test

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/seed-48afdc40/netmap/portname"
)

func ExampleParse() {
	n, err := portname.Parse("eth0-3/Rx@conf:slots=2048")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(n)
	fmt.Println(n.Port, n.Ring, n.Register().RxSlots)
	// Output:
	// netmap:eth0-3/xR@conf:slots=2048
	// eth0 3 2048
}

func ExampleError() {
	_, err := portname.Parse("netmap:eth0-x")
	fmt.Println(err)
	fmt.Println(errors.Is(err, syscall.EINVAL))
	// Output:
	// port name "netmap:eth0-x": ring number "x" at 12: want a decimal number
	// true
}
