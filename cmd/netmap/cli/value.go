package cli

import (
	"fmt"
	"slices"
	"strings"
)

// Value is a flag whose text is read by a function.
type Value[T any] struct {
	to    *T
	parse func(string) (T, error)
	kind  string
	text  string
}

// NewValue is a flag that sets *to. The help calls its values kind, and says that text is the default.
func NewValue[T any](to *T, parse func(string) (T, error), kind, text string) *Value[T] {
	return &Value[T]{to, parse, kind, text}
}

// Set reads the text of the flag.
func (v *Value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err == nil {
		*v.to, v.text = parsed, s
	}
	return err
}

func (v *Value[T]) String() string { return v.text }

// Type is what the help calls a value.
func (v *Value[T]) Type() string { return v.kind }

// oneOf reads a value that is one of some words.
func oneOf(what string, all []string, s string) (string, error) {
	if !slices.Contains(all, s) {
		return "", fmt.Errorf("there is no such %s: want one of %s", what, strings.Join(all, ", "))
	}
	return s, nil
}

// Must is for texts that stand in the program.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
