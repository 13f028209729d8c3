package kring

// Memory is the memory of a program, where slots with NS_INDIRECT have their data.
type Memory interface {
	// Fetch copies from the program's memory, and marks the pieces that could not be copied.
	Fetch(pieces []Piece)
}

// Piece is some of a program's memory, and where it is to go.
type Piece struct {
	Addr uint64
	To   []byte
	Bad  bool // out
}
