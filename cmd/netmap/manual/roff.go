package manual

import (
	"fmt"
	"strings"
)

// roff is a text in the language of man(7).
type roff struct{ strings.Builder }

func (r *roff) macro(name string, args ...string) {
	r.WriteString("." + name)
	for _, a := range args {
		fmt.Fprintf(r, ` "%s"`, escape(strings.ReplaceAll(a, `"`, `'`)))
	}
	r.WriteByte('\n')
}

// line writes text that is already escaped.
func (r *roff) line(s string) {
	r.WriteString(s + "\n")
}

// prose writes text that is already escaped. Its lines are short enough for tools that check such
// files.
func (r *roff) prose(s string) {
	const most = 75 // bytes; tools may count some characters as more
	for len(s) > most {
		i := strings.LastIndexByte(s[:most], ' ')
		for i >= 0 && (s[i+1] == '.' || s[i+1] == '\'') { // a dot or quote there would start a macro
			i = strings.LastIndexByte(s[:i], ' ')
		}
		if i < 0 {
			break
		}
		r.line(s[:i])
		s = s[i+1:]
	}
	r.line(s)
}

// text writes a help text: paragraphs with empty lines between them. Indented lines are kept as
// they are.
func (r *roff) text(s string) {
	verbatim, gap := false, false
	for i, l := range strings.Split(strings.Trim(s, "\n"), "\n") {
		if strings.TrimSpace(l) == "" {
			gap = true
			continue
		}
		indented := strings.HasPrefix(l, "  ") || strings.HasPrefix(l, "\t")
		if verbatim && !indented {
			r.line(".fi\n.RE")
		}
		switch {
		case verbatim && indented && gap:
			r.line(".sp")
		case i > 0 && (gap || indented != verbatim) && !(verbatim && indented):
			r.line(".PP")
		}
		if indented && !verbatim {
			r.line(".RS 4\n.nf")
		}
		if verbatim, gap = indented, false; verbatim {
			r.line(escape(strings.TrimPrefix(strings.TrimPrefix(l, "\t"), "  ")))
		} else {
			r.prose(escape(l))
		}
	}
	if verbatim {
		r.line(".fi\n.RE")
	}
}

// escape escapes a line of text. A dash at the start of a word belongs to something to type; a dash
// inside a word is a hyphen.
func escape(s string) string {
	var b strings.Builder
	inWord := false
	for i, c := range s {
		switch {
		case c == '\\':
			b.WriteString(`\e`)
		case c == '-' && !inWord:
			b.WriteString(`\-`)
		case (c == '.' || c == '\'') && i == 0:
			b.WriteString(`\&` + string(c))
		case c == '^':
			b.WriteString(`\(ha`)
		case c == '~':
			b.WriteString(`\(ti`)
		case c == '`':
			b.WriteString(`\(ga`)
		case c == '\'':
			b.WriteString(`\(aq`)
		default:
			b.WriteRune(c)
		}
		inWord = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	}
	return b.String()
}

func bold(s string) string   { return `\fB` + literal(s) + `\fR` }
func italic(s string) string { return `\fI` + escape(s) + `\fR` }

// literal escapes text to type, in which all dashes are dashes.
func literal(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\e`), "-", `\-`)
}
