// Package cli has what netmap's commands share: parsing flags, writing quantities, and opening
// ports.
package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseQuantity parses a number with an optional k, M or G behind it, up to 1e18.
func ParseQuantity(s string) (float64, error) {
	number, unit := s, 1.0
	if i := len(s) - 1; i >= 0 {
		if u := strings.IndexByte("kmg", s[i]|0x20); u >= 0 {
			number, unit = s[:i], math.Pow(1000, float64(u+1))
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v*unit <= 1e18) || v < 0 || strings.ContainsAny(number, "xXpP_iI") {
		return 0, fmt.Errorf("%q is not a quantity: write it as 1000, 100k, 1.5M or 2G", s)
	}
	return v * unit, nil
}

// ParseCount parses a quantity that is a whole number.
func ParseCount(s string) (uint64, error) {
	v, err := ParseQuantity(s)
	if err != nil {
		return 0, err
	}
	if v != math.Trunc(v) {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return uint64(v), nil
}

// Norm formats a quantity with K, M or G. It ends so that a unit can follow: "14.880 M".
func Norm(v float64) string {
	units := []string{"", "K", "M", "G"}
	i := 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1000
		i++
	}
	return fmt.Sprintf("%.3f %s", v, units[i])
}

// Count formats a number with what is counted: "1 frame", "2 frames".
func Count(n uint64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
