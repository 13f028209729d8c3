package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parsed is a flag whose text is read by a function.
type parsed[T any] struct {
	to    *T
	parse func(string) (T, error)
	kind  string // what the help calls a value
	text  string
}

func (p *parsed[T]) Set(s string) error {
	v, err := p.parse(s)
	if err == nil {
		*p.to, p.text = v, s
	}
	return err
}

func (p *parsed[T]) String() string { return p.text }
func (p *parsed[T]) Type() string   { return p.kind }

// parseQuantity reads a number with an optional k, M or G behind it.
func parseQuantity(s string) (float64, error) {
	number, unit := s, 1.0
	if i := len(s) - 1; i >= 0 {
		if u := strings.IndexByte("kmg", s[i]|0x20); u >= 0 {
			number, unit = s[:i], math.Pow(1000, float64(u+1))
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v*unit <= 1e18) || v < 0 || strings.ContainsAny(number, "xXpP_iI") {
		return 0, fmt.Errorf("%q is no quantity: write it as 1000, 100k, 1.5M or 2G", s)
	}
	return v * unit, nil
}

// parseCount reads a quantity that is a whole number.
func parseCount(s string) (uint64, error) {
	v, err := parseQuantity(s)
	if err != nil {
		return 0, err
	}
	if v != math.Trunc(v) {
		return 0, fmt.Errorf("%q is no whole number", s)
	}
	return uint64(v), nil
}

// norm writes a quantity with the unit that fits, and leaves the place for the name of what is counted: "14.880 M".
func norm(v float64) string {
	units := []string{"", "K", "M", "G"}
	i := 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1000
		i++
	}
	return fmt.Sprintf("%.3f %s", v, units[i])
}

// count writes a number and what is counted: "1 frame", "2 frames".
func count(n uint64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
