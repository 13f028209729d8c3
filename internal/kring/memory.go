package kring

// Memory is the memory of a program. Slots with NS_INDIRECT have their data there.
type Memory interface {
	// Fetch copies pieces from the program's memory. It sets Bad in those that could not be copied.
	Fetch(pieces []Piece)
}

// Piece is a piece of a program's memory, and the destination of its copy.
type Piece struct {
	Addr uint64
	To   []byte
	Bad  bool // set by Fetch
}
