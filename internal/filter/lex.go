package filter

import (
	"regexp"
	"strings"
)

// token is a word or a sign of an expression.
type token struct {
	text   string
	offset int
	plain  bool // it follows a backslash: only a name
	word   bool // a name, number or address
}

// longSigns are the signs of two characters. sameSign maps signs to others with the same meaning.
var (
	longSigns = []string{"<=", ">=", "==", "!=", "<<", ">>", "&&", "||"}
	sameSign  = map[string]string{"&&": "and", "||": "or", "!": "not", "==": "="}
)

const shortSigns = "()[]:+-*/%&|^<>=!"

var (
	// outside matches a word outside of brackets. There a colon is part of an address.
	outside = regexp.MustCompile(`^(?:[A-Za-z_][\w.:]*(?:-[A-Za-z][\w.:]*)*|[0-9:][\w.:]*)`)
	// inside matches a word in brackets. There a colon is a sign.
	inside = regexp.MustCompile(`^(?:[A-Za-z_]\w*(?:-[A-Za-z]\w*)*|[0-9]\w*)`)
)

// lex splits an expression into tokens.
func lex(expr string) (list []token, err error) {
	depth := 0
	for at := 0; at < len(expr); {
		rest := expr[at:]
		if strings.IndexByte(" \t\r\n", rest[0]) >= 0 {
			at++
			continue
		}
		t := token{offset: at, plain: rest[0] == '\\'}
		if t.plain {
			rest, at = rest[1:], at+1
		}
		word := outside
		if depth > 0 {
			word = inside
		}
		t.text = word.FindString(rest)
		if t.word = t.text != ""; !t.word {
			t.text = sign(rest)
		}
		if t.text == "" || t.plain && !t.word {
			return nil, &Error{expr, at, rest[:min(len(rest), 1)], "unexpected character"}
		}
		at += len(t.text)
		switch t.text {
		case "[":
			depth++
		case "]":
			depth--
		}
		if same := sameSign[t.text]; same != "" {
			t.text = same
		}
		list = append(list, t)
	}
	return list, nil
}

// sign returns the sign at the start of the text.
func sign(text string) string {
	for _, s := range longSigns {
		if strings.HasPrefix(text, s) {
			return s
		}
	}
	if text != "" && strings.IndexByte(shortSigns, text[0]) >= 0 {
		return text[:1]
	}
	return ""
}
