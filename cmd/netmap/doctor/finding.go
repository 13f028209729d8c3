package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// level is how bad a finding is.
type level string

const (
	fine level = "ok"
	warn level = "warn" // netmap works, but not as well as it could
	bad  level = "fail" // netmap does not work
)

// finding is the result of a check, and the command that repairs it.
type finding struct {
	Interface string `json:"interface,omitempty"` // "" for the machine
	Check     string `json:"check"`
	Level     level  `json:"level"`
	Text      string `json:"text"`
	Command   string `json:"command,omitempty"`
}

// ok, warning and failure make findings.
func ok(text string, args ...any) finding {
	return finding{Level: fine, Text: fmt.Sprintf(text, args...)}
}

func warning(command, text string, args ...any) finding {
	return finding{Level: warn, Command: command, Text: fmt.Sprintf(text, args...)}
}

func failure(command, text string, args ...any) finding {
	return finding{Level: bad, Command: command, Text: fmt.Sprintf(text, args...)}
}

// check examines one aspect of something. It may return several findings, or none.
type check[T any] struct {
	name string
	look func(T) []finding
}

// examine runs all checks.
func examine[T any](what T, checks []check[T]) (all []finding) {
	for _, c := range checks {
		for _, f := range c.look(what) {
			f.Check = c.name
			all = append(all, f)
		}
	}
	return all
}

// inTheWay returns the findings that are warnings or failures.
func inTheWay(all []finding) []finding {
	return slices.DeleteFunc(slices.Clone(all), func(f finding) bool { return f.Level == fine })
}

// text formats the finding in lines of at most width characters. It never breaks a command.
func (f finding) text(width int) string {
	const indent = 20
	var b strings.Builder
	fmt.Fprintf(&b, "  %-4s  %-12s", f.Level, f.Check)
	for i, line := range wrap(f.Text, width-indent) {
		if i > 0 {
			fmt.Fprintf(&b, "%*s", indent, "")
		}
		b.WriteString(line + "\n")
	}
	if f.Command != "" {
		fmt.Fprintf(&b, "%*s$ %s\n", indent, "", f.Command)
	}
	return b.String()
}

// wrap breaks text into lines.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
