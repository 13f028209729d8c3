package portname

import "strings"

// Kind is what sort of port a name means.
type Kind int

const (
	Interface Kind = iota // a network interface
	VALE                  // a port of a VALE switch
	Pipe                  // one end of a pipe, of whatever parent
)

// Kind is what sort of port the name means.
func (n Name) Kind() Kind { return KindOf(n.Port) }

// KindOf is the kind of a port in the form of Name.Port. It does not check the form, and "" means
// an interface.
func KindOf(port string) Kind {
	switch {
	case strings.ContainsAny(port, pipeMarks):
		return Pipe
	case OnSwitch(port):
		return VALE
	}
	return Interface
}

// OnSwitch says whether the name is that of a VALE switch, or of a port of one, or of a pipe of such
// a port.
func OnSwitch(port string) bool { return strings.HasPrefix(port, valePrefix) }

// SplitPipe takes one end of a pipe apart: "vale0:a}1" is the slave end of pipe "1" of "vale0:a".
// The parent may be one end of a pipe, too. It must be called for a port of kind Pipe only.
func SplitPipe(port string) (parent, id string, slave bool) {
	at := strings.LastIndexAny(port, pipeMarks)
	return port[:at], port[at+1:], port[at] == '}'
}
