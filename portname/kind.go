package portname

import "strings"

// Kind is a kind of port.
type Kind int

const (
	Interface Kind = iota // a network interface
	VALE                  // a port of a VALE switch
	Pipe                  // one end of a pipe; its parent may be of any kind
)

// Kind returns the kind of the port.
func (n Name) Kind() Kind { return KindOf(n.Port) }

// KindOf returns the kind of a port in the form of Name.Port. It does not check the form; "" means
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

// OnSwitch reports whether the name is that of a VALE switch, of one of its ports, or of a pipe of
// such a port.
func OnSwitch(port string) bool { return strings.HasPrefix(port, valePrefix) }

// SplitPipe splits the name of one end of a pipe: "vale0:a}1" is the slave end of pipe "1" of
// "vale0:a". The parent may also be one end of a pipe. port must be of kind Pipe.
func SplitPipe(port string) (parent, id string, slave bool) {
	at := strings.LastIndexAny(port, pipeMarks)
	return port[:at], port[at+1:], port[at] == '}'
}
