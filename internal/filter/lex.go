package filter

import (
	"regexp"
	"strings"
)

// token is a word of an expression, or a sign.
type token struct {
	text   string
	offset int
	plain  bool // it stood behind a backslash: a name, whatever else it may mean
	word   bool // a name, number or address
}

// signs are the signs of two characters, those of one, and what they are the same as.
var (
	longSigns = []string{"<=", ">=", "==", "!=", "<<", ">>", "&&", "||"}
	sameSign  = map[string]string{"&&": "and", "||": "or", "!": "not", "==": "="}
)

const shortSigns = "()[]:+-*/%&|^<>=!"

var (
	// outside is a word outside of brackets, where a colon is part of an address.
	outside = regexp.MustCompile(`^(?:[A-Za-z_][\w.:]*(?:-[A-Za-z][\w.:]*)*|[0-9:][\w.:]*)`)
	// inside is a word in brackets, where a colon is a sign.
	inside = regexp.MustCompile(`^(?:[A-Za-z_]\w*(?:-[A-Za-z]\w*)*|[0-9]\w*)`)
)

// lex takes an expression apart.
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
			return nil, &Error{expr, at, rest[:min(len(rest), 1)], "no part of an expression"}
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

// sign is the sign that the text starts with.
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
