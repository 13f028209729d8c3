package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usage is a mistake of who typed the command, found before anything was done.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// Usage marks an error as one of the command line.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return usage{err}
}

// ExitStatus is what the program ends with: 2 when the command line was wrong, so that scripts can tell, 1 for any other error.
func ExitStatus(err error) int {
	var u usage
	switch {
	case err == nil:
		return 0
	case errors.As(err, &u):
		return 2
	}
	return 1
}

// flagError says of a flag without its value what that is.
func flagError(err error) error {
	var none *pflag.ValueRequiredError
	switch {
	case !errors.As(err, &none):
		return err
	case none.GetFlag().Name == deviceFlag:
		return fmt.Errorf("%w: %s", err, noDevice)
	}
	return fmt.Errorf("%w: want %s", err, none.GetFlag().Value.Type())
}

// MarkUsage makes what cobra itself finds wrong with a command line, of cmd or a command below it, an error of that kind.
func MarkUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage(flagError(err)) })
	if !cmd.Runnable() { // else cobra shows the help of a group of commands for a word that it does not know, and is content
		cmd.Args = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, list []string) error { return Usage(args(cmd, list)) }
	}
	for _, c := range cmd.Commands() {
		MarkUsage(c)
	}
}
