package cli

import (
	"fmt"
	"strconv"
)

// ParseSize returns a function that parses a number of bytes: with k, M or G behind it, else in
// units of unit bytes, which another program uses for the same flag.
func ParseSize(unit uint64) func(string) (uint64, error) {
	return func(s string) (uint64, error) {
		if n, err := strconv.ParseUint(s, 10, 32); err == nil {
			return n * unit, nil
		}
		n, err := ParseCount(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a size: write it as 100k, 10M or 2G", s)
		}
		return n, nil
	}
}
