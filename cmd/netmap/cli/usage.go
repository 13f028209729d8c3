package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usage is an error in the command line, found before the command did anything.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// Usage marks an error as an error of the command line.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return usage{err}
}

// logged is an error that is in the command's log.
type logged struct{ error }

func (l logged) Unwrap() error { return l.error }

// Logged marks an error that is in the log, and need not be written again.
func Logged(err error) error { return logged{err} }

// IsLogged reports whether an error is marked by Logged.
func IsLogged(err error) bool {
	var l logged
	return errors.As(err, &l)
}

// ExitStatus is the exit status of the program: 2 if the command line was wrong, 1 for any other
// error.
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

// flagError improves pflag's errors: for a flag without a value, it names the values; for an
// unknown flag, it suggests others.
func flagError(cmd *cobra.Command, err error) error {
	var none *pflag.ValueRequiredError
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &invalid):
		return invalidValue(invalid)
	case errors.As(err, &unknown):
		return unknownFlag(cmd, unknown)
	case !errors.As(err, &none):
		return err
	case none.GetFlag().Name == deviceFlag:
		return fmt.Errorf("%w: %s", err, noDevice)
	}
	flag := none.GetFlag()
	return fmt.Errorf("flag needs an argument: --%s: it takes %s", flag.Name, wanted(flag))
}

// wanted describes the values of a flag.
func wanted(f *pflag.Flag) string {
	kind := f.Value.Type()
	switch {
	case f.Name == "interface":
		return "a port, such as netmap:eth0"
	case strings.HasPrefix(kind, "string"):
		return "a value"
	}
	return cmp.Or(wants[kind], "a value: "+kind)
}

// wants describes the values of flags with Go's types, because their own errors name Go's
// functions.
var wants = map[string]string{
	"int":      "a whole number",
	"uint16":   "a whole number from 0 to 65535",
	"uint32":   "a whole number from 0 to 4294967295",
	"uint64":   "a whole number from 0 on",
	"float64":  "a number",
	"bool":     "true or false",
	"duration": "a time with its unit, such as 5s or 100ms",
}

func invalidValue(err *pflag.InvalidValueError) error {
	if want, ok := wants[err.GetFlag().Value.Type()]; ok {
		what := strings.TrimSuffix(err.Error(), err.Unwrap().Error())
		return fmt.Errorf("%sit takes %s", what, want)
	}
	return err
}

func unknownFlag(cmd *cobra.Command, err *pflag.NotExistError) error {
	name := err.GetSpecifiedName()
	var near []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		isLong := len(name) > 2
		if !f.Hidden && isLong && (distance(name, f.Name) <= 2 || strings.HasPrefix(f.Name, name)) {
			near = append(near, "--"+f.Name)
		}
	})
	if len(near) > 0 {
		return fmt.Errorf("%w: did you mean %s?", err, strings.Join(near, " or "))
	}
	return fmt.Errorf("%w: '%s --help' lists those there are", err, cmd.CommandPath())
}

// distance is the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			here := corner
			if a[i] != b[j] {
				here++
			}
			corner = row[j+1]
			row[j+1] = min(here, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}

// NoArgs returns an error if there are arguments.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unexpected(cmd, args[0])
	}
	return nil
}

// unexpected is the error for an unexpected argument, with a suggestion.
func unexpected(cmd *cobra.Command, word string) error {
	switch {
	case cmd.HasSubCommands():
		if near := nearCommands(cmd, word); len(near) > 0 {
			return fmt.Errorf("there is no command %q: did you mean %s?", word, strings.Join(near, " or "))
		}
		return fmt.Errorf("there is no command %q: '%s --help' lists those there are", word,
			cmd.CommandPath())
	case cmd.Flags().Lookup("interface") != nil:
		return fmt.Errorf("%s takes no arguments: a port is named with -i, such as -i %s",
			cmd.CommandPath(), word)
	}
	return fmt.Errorf("%s takes no arguments, and %q is one", cmd.CommandPath(), word)
}

// emptyValue returns an error if a flag has an empty value, which may come from an unset variable
// in a script. Without the error, the command would ignore the flag, and do something else.
func emptyValue(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		isEmpty := f.Value.Type() == "string" && f.Value.String() == ""
		if list, ok := f.Value.(pflag.SliceValue); ok {
			isEmpty = slices.Contains(list.GetSlice(), "")
		}
		if isEmpty && err == nil {
			err = fmt.Errorf("--%s is empty: give it a value, or leave it out", f.Name)
		}
	})
	return err
}

// nearCommands are commands similar to a word: at least two letters are right.
func nearCommands(cmd *cobra.Command, word string) []string {
	const right = 2
	if len(word) < right {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	return slices.DeleteFunc(cmd.SuggestionsFor(word), func(name string) bool {
		return distance(word, name) > max(len(word), len(name))-right
	})
}

// TakesArgs returns a function that checks the number of arguments.
func TakesArgs(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || n > most {
			return fmt.Errorf("%s takes %s, not %d: write '%s'", cmd.CommandPath(), times(least, most), n,
				strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		return nil
	}
}

// times formats a number of arguments: "2 arguments", "at most 2 arguments".
func times(least, most int) string {
	text := Count(uint64(most), "argument")
	if least != most {
		return "at most " + text
	}
	return text
}

// markHelp makes "help" fail for an unknown command.
func markHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	help.Run = nil
	help.RunE = func(_ *cobra.Command, args []string) error {
		cmd, rest, err := root.Find(args)
		switch {
		case err != nil:
			return Usage(err)
		case len(rest) > 0:
			return Usage(unexpected(cmd, rest[0]))
		}
		return cmd.Help()
	}
}

// MarkUsage marks cobra's own errors about command lines with Usage, for cmd and all commands below
// it.
func MarkUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
			return Usage(unexpected(cmd, words[0])) // the word before the flag
		}
		return Usage(flagError(cmd, err))
	})
	if !cmd.Runnable() { // else cobra shows the help for an unknown word, and succeeds
		cmd.Args = NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if !cmd.HasParent() && cmd.HasSubCommands() {
		markHelp(cmd)
	}
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, list []string) error {
		if err := emptyValue(cmd.Flags()); err != nil || args == nil {
			return Usage(err)
		}
		return Usage(args(cmd, list))
	}
	for _, c := range cmd.Commands() {
		MarkUsage(c)
	}
}
