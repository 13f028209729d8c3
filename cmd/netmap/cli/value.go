package cli

import (
	"fmt"
	"slices"
	"strings"
)

// Value is the value of a flag, parsed by a function.
type Value[T any] struct {
	to    *T
	parse func(string) (T, error)
	kind  string
	text  string
}

// NewValue returns the value of a flag that sets *to. In the help, its values are called kind, and
// text is the default.
func NewValue[T any](to *T, parse func(string) (T, error), kind, text string) *Value[T] {
	return &Value[T]{to, parse, kind, text}
}

// Set parses the text of the flag.
func (v *Value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err == nil {
		*v.to, v.text = parsed, s
	}
	return err
}

func (v *Value[T]) String() string { return v.text }

// Type is the name of a value in the help.
func (v *Value[T]) Type() string { return v.kind }

// oneOf returns an error if s is not one of some words.
func oneOf(what string, all []string, s string) (string, error) {
	if !slices.Contains(all, s) {
		return "", fmt.Errorf("there is no such %s: want one of %s", what, strings.Join(all, ", "))
	}
	return s, nil
}

// Must panics on an error. It is for constants in the program, and for tests.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
