package filter

import "slices"

// parser parses an expression from left to right. Some state is kept from term to term, as in
// libpcap: the qualifiers that a bare address inherits ("port 80 or 443"), and the positions of the
// headers, which "vlan" changes for all later terms.
type parser struct {
	expr  string
	words []token
	at    int
	last  *qualifiers // of the previous term; nil if it had none
	layers
}

// depthLimit is the largest depth of nesting in an expression.
const depthLimit = 200

// failure is what a panic carries to parse.
type failure struct{ *Error }

// parse returns the condition of an expression. nil matches every frame.
func parse(expr string) (c *cond, err error) {
	words, err := lex(expr)
	if err != nil || len(words) == 0 {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			c, err = nil, f.Error
		}
	}()
	p := &parser{expr: expr, words: words, layers: ethernet}
	c = p.expression(0)
	if p.at < len(p.words) {
		p.fail("\"and\" or \"or\" is missing before it")
	}
	return c, nil
}

// fail ends parsing with an error about the current word.
func (p *parser) fail(want string) { p.failAt(p.at, want) }

func (p *parser) failAt(at int, want string) {
	e := &Error{Expr: p.expr, Offset: len(p.expr), Want: want}
	if at < len(p.words) {
		e.Offset, e.Found = p.words[at].offset, p.words[at].text
	}
	panic(failure{e})
}

// peek returns the current word, or an empty one after the last.
func (p *parser) peek() token { return p.ahead(0) }

func (p *parser) ahead(n int) token {
	if p.at+n < len(p.words) {
		return p.words[p.at+n]
	}
	return token{}
}

// is reports whether the current word is one of these and not quoted.
func (p *parser) is(words ...string) bool { return is(p.peek(), words...) }

func is(t token, words ...string) bool {
	return !t.plain && t.text != "" && slices.Contains(words, t.text)
}

// take skips the current word if it is this one, and reports whether it was.
func (p *parser) take(word string) bool {
	if p.is(word) {
		p.at++
		return true
	}
	return false
}

func (p *parser) want(word string) {
	if !p.take(word) {
		p.fail("want " + word)
	}
}

// expression parses terms with "and" and "or", which bind equally.
func (p *parser) expression(depth int) *cond {
	c := p.term(depth)
	for {
		switch {
		case p.take("and"):
			c = and(c, p.term(depth))
		case p.take("or"):
			c = or(c, p.term(depth))
		default:
			return c
		}
	}
}

// term parses a primitive, a relation, or an expression in parentheses, after any number of "not".
func (p *parser) term(depth int) *cond {
	if depth > depthLimit {
		p.fail("the expression is nested too deeply")
	}
	switch {
	case p.take("not"):
		return not(p.term(depth + 1))
	case p.startsRelation():
		p.last = nil
		return p.relation()
	case p.take("("):
		c := p.expression(depth + 1)
		p.want(")")
		return c
	}
	return p.primitive()
}

// startsRelation reports whether a comparison of numbers follows. A parenthesis may also open an
// expression; the sign after its end decides.
func (p *parser) startsRelation() bool {
	t := p.peek()
	if t.plain {
		return false
	}
	next := p.ahead(1)
	switch {
	case t.text == "-", t.text == "len":
		return true
	case protocols[t.text].load != noLoad && next.text == "[":
		return true
	case isNumber(t):
		return is(next, relations...) || is(next, operators...)
	case t.text == "(":
		end := p.closing()
		return is(p.ahead(end+1), relations...) || is(p.ahead(end+1), operators...)
	}
	_, known := constants[t.text]
	return known
}

// closing returns the distance to the end of the parenthesis that the current word opens.
func (p *parser) closing() int {
	depth := 0
	for n := 0; p.at+n < len(p.words); n++ {
		switch p.ahead(n).text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return n
			}
		}
	}
	p.fail("is never closed")
	return 0
}
