package manual

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

// page is the manual page of a command, in the language of man(7).
func page(cmd *cobra.Command, date time.Time) string {
	var r roff
	r.macro("TH", strings.ToUpper(pageName(cmd)), section, date.Format(time.DateOnly),
		"netmap "+cli.Version(), "System Administration")
	r.macro("SH", "NAME")
	r.prose(literal(pageName(cmd)) + ` \- ` + escape(lowerFirst(cmd.Short)))
	r.macro("SH", "SYNOPSIS")
	r.synopsis(cmd)
	r.macro("SH", "DESCRIPTION")
	r.text(cmd.Long)
	r.commands(cmd)
	r.options("OPTIONS", cmd.NonInheritedFlags())
	r.options("COMMON OPTIONS", cmd.InheritedFlags())
	if cmd.Example != "" {
		r.macro("SH", "EXAMPLES")
		r.text(cmd.Example)
	}
	r.macro("SH", "EXIT STATUS")
	r.text("0 after success, 2 if the command line was wrong and nothing was done, " +
		"1 for any other error.")
	r.macro("SH", "SEE ALSO")
	r.references(cmd)
	return r.String()
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

func (r *roff) synopsis(cmd *cobra.Command) {
	path := cmd.CommandPath()
	rest := strings.TrimPrefix(cmd.UseLine(), path)
	if cmd.HasAvailableSubCommands() {
		rest = " command [flags]"
	}
	for i, form := range strings.Split(rest, " | ") { // of the same command
		if i > 0 {
			r.macro("br")
			form = " " + form
		}
		r.line(bold(path) + escape(form))
	}
}

func (r *roff) commands(cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	r.macro("SH", "COMMANDS")
	for _, c := range cmd.Commands() {
		if documented(c) {
			r.macro("TP")
			r.line(reference(pageName(c), section))
			r.prose(escape(c.Short) + ".")
		}
	}
}

func (r *roff) options(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	r.macro("SH", title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		r.macro("TP")
		r.line(term(f))
		_, usage := pflag.UnquoteUsage(f)
		if hasDefault(f) {
			usage += " (default " + f.DefValue + ")"
		}
		r.prose(escape(usage))
	})
}

// term is a flag as the user types it: -x, --long value.
func term(f *pflag.Flag) string {
	s := bold("--" + f.Name)
	if f.Shorthand != "" && f.ShorthandDeprecated == "" {
		s = bold("-"+f.Shorthand) + ", " + s
	}
	value, _ := pflag.UnquoteUsage(f)
	switch {
	case value == "" || f.NoOptDefVal == "+1": // pflag's counters, -vv
	default:
		s += " " + italic(value)
	}
	return s
}

// hasDefault reports whether the page shows the default, as the flag's help does.
func hasDefault(f *pflag.Flag) bool {
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
		return false
	}
	return true
}

func (r *roff) references(cmd *cobra.Command) {
	pages := []string{reference("netmap", "4")}
	if cmd.HasParent() {
		pages = append(pages, reference(pageName(cmd.Root()), section))
	}
	for _, c := range cmd.Root().Commands() {
		if c != cmd && documented(c) {
			pages = append(pages, reference(pageName(c), section))
		}
	}
	r.line(strings.Join(pages, ",\n"))
}

func reference(name, section string) string { return fmt.Sprintf("%s(%s)", bold(name), section) }
