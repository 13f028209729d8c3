package lab

import (
	"fmt"
	"os"
	"runtime"
)

// Need returns an error that names what is missing and how to get it, or nil.
type Need func() error

func Root() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root")
	}
	return nil
}

func TwoCores() error {
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("needs two processor cores")
	}
	return nil
}
