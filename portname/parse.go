package portname

import (
	"fmt"
	"math"
	"strings"

	"github.com/seed-48afdc40/netmap/abi"
)

const (
	netmapPrefix = "netmap:"
	valePrefix   = "vale"
	pipeMarks    = "{}" // master end, slave end

	maxIfName  = abi.IfNameSize - 1  // without the terminating zero
	maxAltName = 127                 // of an altname (ALTIFNAMSIZ)
	maxPort    = abi.ReqNameSize - 1 // without the terminating zero

	maxRing  = abi.RingMask - 1 // upstream's limit; this number itself never occurs
	wholePtr = 64               // Offset.Bits if the name does not set it
)

// Parse parses a port name. A name without prefix is that of an interface: "eth0" means
// "netmap:eth0". The error is an *Error that wraps EINVAL, or ENAMETOOLONG for a name that is too
// long.
func Parse(s string) (Name, error) { return ParseWith(s, nil) }

// ParseWith is Parse with a function that reports whether an interface exists. The names of
// interfaces may contain the characters - ^ * / @. If the whole name is an interface's, it means
// that interface. Otherwise the port is the longest beginning of the name that is an interface's:
// if eth-0 exists, eth-0-1 means its ring pair 1.
func ParseWith(s string, isInterface func(name string) bool) (Name, error) {
	n := Name{Mode: abi.RegAllNIC}
	port, rest := span{s, 0, len(s)}.cutPort(isInterface)
	mode, suffixes := rest.cut("/@")
	var err error
	if n.Port, err = parsePort(port); err != nil {
		return Name{}, err
	}
	if err = n.parseMode(mode); err != nil {
		return Name{}, err
	}
	if err = n.parseSuffixes(suffixes); err != nil {
		return Name{}, err
	}
	return n, nil
}

// endsPort are the characters that end a port's name, unless they belong to an interface's name.
const endsPort = "-^*/@"

// cutPort splits off the port with its pipe.
func (s span) cutPort(isInterface func(string) bool) (port, rest span) {
	port, rest = s.cut(endsPort)
	body := s
	if strings.HasPrefix(s.String(), netmapPrefix) {
		body = s.skip(len(netmapPrefix))
	}
	if isInterface == nil || rest.empty() || OnSwitch(body.String()) {
		return port, rest
	}
	parent, pipe := body.cut(pipeMarks)
	for end := parent.to; end > port.to; {
		name := span{s.in, parent.from, end}.String()
		if len(name) <= maxAltName && isInterface(name) {
			if end == parent.to && !pipe.empty() {
				id, _ := pipe.cut(endsPort)
				end = id.to
			}
			return span{s.in, s.from, end}, span{s.in, end, s.to}
		}
		end = parent.from + strings.LastIndexAny(name, endsPort)
	}
	return port, rest
}

// parsePort checks a port without mode and suffixes, and returns it without "netmap:".
func parsePort(s span) (string, error) {
	if strings.HasPrefix(s.String(), netmapPrefix) {
		s = s.skip(len(netmapPrefix))
	}
	if s.empty() {
		return "", s.fail("port", "netmap:interface or vale0:port")
	}
	if i := strings.IndexFunc(s.String(), isBlank); i >= 0 {
		return "", s.skip(i).first().fail("character", "no spaces and no control characters")
	}
	parent, pipe := s.cut(pipeMarks)
	isVALE := OnSwitch(s.String())
	if len(s.String()) > maxPort && (isVALE || !pipe.empty()) {
		return "", s.tooLong("port", maxPort)
	}
	if err := checkPipe(parent, pipe); err != nil {
		return "", err
	}
	if isVALE {
		return s.String(), checkVALE(parent)
	}
	return s.String(), checkInterface(parent)
}

// isBlank reports whether r makes a name unreadable, or ends it early in a C string.
func isBlank(r rune) bool { return r <= ' ' || r == 0x7f }

// checkPipe requires a name before and an id after every brace. A pipe may have pipes of its own.
func checkPipe(parent, pipe span) error {
	if parent.empty() {
		return parent.fail("port", "a port before the pipe, as in eth0{1")
	}
	for !pipe.empty() {
		id, next := pipe.skip(1).cut(pipeMarks)
		if id.empty() {
			return id.fail("pipe id", "letters or digits, as in eth0{1")
		}
		pipe = next
	}
	return nil
}

// checkVALE checks the name of a switch and of its port. Both may be empty after "vale" and the
// colon.
func checkVALE(s span) error {
	bridge, port := s.cut(":")
	if port.empty() {
		return bridge.fail("switch", fmt.Sprintf("a port after it, as in %s:a", bridge))
	}
	if i := strings.IndexFunc(bridge.String(), isNotIdent); i >= 0 {
		return bridge.skip(i).first().fail("character", "a switch named with letters, digits and _")
	}
	if len(bridge.String()) > maxIfName {
		return bridge.tooLong("switch", maxIfName)
	}
	if port = port.skip(1); len(port.String()) > maxIfName {
		return port.tooLong("port", maxIfName)
	}
	return nil
}

func isNotIdent(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_')
}

func checkInterface(s span) error {
	if strings.Contains(s.String(), ":") {
		return s.fail("interface", "netmap:interface or vale0:port")
	}
	if len(s.String()) > maxAltName {
		return s.tooLong("interface", maxAltName)
	}
	return nil
}

// parseMode parses the choice of rings: "", "*", "-N", "^" or "^N".
func (n *Name) parseMode(s span) error {
	if s.empty() {
		return nil
	}
	var err error
	switch number := s.skip(1); s.first().String() {
	case "*":
		n.Mode = abi.RegNICSW
		if !number.empty() {
			err = number.fail("text", "a / or @ or nothing after the *")
		}
	case "^":
		n.Mode = abi.RegSW
		if !number.empty() {
			n.Mode = abi.RegOneSW
			err = n.parseRing(number)
		}
	default:
		n.Mode = abi.RegOneNIC
		err = n.parseRing(number)
	}
	return err
}

func (n *Name) parseRing(s span) error {
	v, err := s.number("ring number", 0, maxRing)
	n.Ring = uint16(v)
	return err
}

// parseSuffixes parses flags, memory id and options. An option starts with @ and no digit. It ends
// at the next @, not at a slash, because the file of @extmem has slashes.
func (n *Name) parseSuffixes(s span) error {
	for !s.empty() {
		var err error
		mark, body := s.first().String(), s.skip(1)
		switch {
		case mark == "/":
			body, s = body.cut("@")
			err = n.parseFlags(body)
		case body.startsWithDigit():
			body, s = body.cut("/@")
			err = n.parseMemID(body)
		default:
			body, s = body.cut("@")
			err = n.parseOption(body)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseFlags parses flag letters. There may be no letters before an @.
func (n *Name) parseFlags(s span) error {
	if s.empty() && s.to == len(s.in) {
		return s.fail("flags", "some of "+allFlags())
	}
	for ; !s.empty(); s = s.skip(1) {
		var flag uint64
		for _, f := range flagLetters {
			if s.in[s.from] == f.letter {
				flag = f.flag
			}
		}
		if flag == 0 {
			return s.first().fail("flag", "one of "+allFlags())
		}
		n.Flags |= flag
	}
	return nil
}

func allFlags() string {
	var b strings.Builder
	for _, f := range flagLetters {
		b.WriteByte(f.letter)
	}
	return b.String()
}

func (n *Name) parseMemID(s span) error {
	v, err := s.number("memory id", 1, math.MaxUint16)
	if err != nil {
		return err
	}
	if n.MemID != 0 && n.MemID != uint16(v) {
		return s.fail("memory id", fmt.Sprintf("only one, and there is %d already", n.MemID))
	}
	n.MemID = uint16(v)
	return nil
}
