package abi

// Body is the body of a NIOCCTRL request as an API before 14 has it.
type Body struct {
	Size   int // bytes
	Fields []Field
}

// Field is a field of a body, or several that lie side by side in both: n bytes at offset Old, at offset New in API 14.
type Field struct{ Old, New, N int }

// oldBodies are the bodies that differ from those of API 14, by version and type. API 12 changed several times; this is what
// it was from January to October 2018, but for the last days of that.
var oldBodies = map[uint16]map[uint16]Body{
	12: {
		ReqRegister:           {56, register12},
		ReqPortInfoGet:        {32, []Field{{8, 0, 8}, {16, 8, 12}, {28, 24, 2}}},
		ReqValeAttach:         {64, append(register12[:len(register12):len(register12)], Field{56, 56, 4})},
		ReqValeDetach:         {4, []Field{{0, 0, 4}}},
		ReqPortHdrSet:         {4, []Field{{0, 0, 4}}},
		ReqPortHdrGet:         {4, []Field{{0, 0, 4}}},
		ReqValePollingEnable:  {12, []Field{{0, 0, 12}}},
		ReqValePollingDisable: {12, []Field{{0, 0, 12}}},
		ReqSyncKloopStart:     {4, []Field{{0, 0, 4}}},
	},
	13: {
		ReqRegister:    {48, register13},
		ReqPortInfoGet: {24, []Field{{0, 0, 20}, {20, 24, 2}}},
		ReqValeAttach:  {56, append(register13[:len(register13):len(register13)], Field{48, 56, 4})},
	},
}

// register12 and register13 are Register, up to nr_rx_rings and then memory id, ring id, mode, extra buffers and flags.
var (
	register12 = []Field{{0, 0, 28}, {28, 32, 2}, {30, 34, 2}, {32, 36, 4}, {48, 40, 4}, {40, 48, 8}}
	register13 = []Field{{0, 0, 28}, {28, 32, 2}, {30, 34, 2}, {32, 36, 4}, {36, 40, 4}, {40, 48, 8}}
)

// OldBody is the body of a request of that version and type, if it is another than that of API 14.
func OldBody(version, kind uint16) (Body, bool) {
	b, ok := oldBodies[version][kind]
	return b, ok
}

// ToNew translates a body into one of API 14, ToOld the other way. What the other does not have stays as it is.
func (b *Body) ToNew(to, old []byte) {
	for _, f := range b.Fields {
		copy(to[f.New:f.New+f.N], old[f.Old:])
	}
}

// ToOld is the inverse of ToNew.
func (b *Body) ToOld(old, from []byte) {
	for _, f := range b.Fields {
		copy(old[f.Old:f.Old+f.N], from[f.New:])
	}
}
