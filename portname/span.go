package portname

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"
)

// span is a part of the input. It knows its position for errors.
type span struct {
	in       string
	from, to int
}

func (s span) String() string { return s.in[s.from:s.to] }

func (s span) empty() bool { return s.from == s.to }

// skip returns s without its first n bytes.
func (s span) skip(n int) span { return span{s.in, min(s.from+n, s.to), s.to} }

// first returns the first character of s. s must not be empty.
func (s span) first() span {
	_, size := utf8.DecodeRuneInString(s.String())
	return span{s.in, s.from, s.from + size}
}

func (s span) startsWithDigit() bool {
	return !s.empty() && '0' <= s.in[s.from] && s.in[s.from] <= '9'
}

// cut splits s before the first of the separators. If there is none, tail is empty.
func (s span) cut(separators string) (head, tail span) {
	at := s.to
	if i := strings.IndexAny(s.String(), separators); i >= 0 {
		at = s.from + i
	}
	return span{s.in, s.from, at}, span{s.in, at, s.to}
}

// number parses s as a decimal number from low to high. what names the number in errors.
func (s span) number(what string, low, high uint64) (uint64, error) {
	v, err := strconv.ParseUint(s.String(), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, s.fail(what, "a decimal number")
	case err != nil || v < low || v > high:
		return 0, s.fail(what, fmt.Sprintf("%d to %d", low, high))
	}
	return v, nil
}

// fail returns the error for s, which should be want.
func (s span) fail(what, want string) error {
	return s.error(what, want, syscall.EINVAL)
}

func (s span) tooLong(what string, limit int) error {
	return s.error(what, fmt.Sprintf("at most %d bytes", limit), syscall.ENAMETOOLONG)
}

func (s span) error(what, want string, errno syscall.Errno) error {
	return &Error{Input: s.in, Offset: s.from, Found: fmt.Sprintf("%s %q", what, s), Want: want,
		Errno: errno}
}
