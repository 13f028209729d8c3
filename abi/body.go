package abi

import "slices"

// Body is the body of a NIOCCTRL request in an API before 14.
type Body struct {
	Size   int // bytes
	Fields []Field
}

// Field is one or more adjacent fields of a body: N bytes at offset Old, and at offset New in API
// 14.
type Field struct{ Old, New, N int }

// oldBodies are the bodies that differ from those of API 14, by version and type. API 12 changed
// several times; this is the API 12 of January to the end of October 2018, without its last days.
var oldBodies = map[uint16]map[uint16]Body{
	12: {
		ReqRegister:           {56, register12},
		ReqPortInfoGet:        {32, []Field{{8, 0, 8}, {16, 8, 12}, {28, 24, 2}}},
		ReqValeAttach:         {64, slices.Concat(register12, []Field{{56, 56, 4}})},
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
		ReqValeAttach:  {56, slices.Concat(register13, []Field{{48, 56, 4}})},
	},
}

// register12 and register13 are Register: the fields up to nr_rx_rings, then memory id, ring id,
// mode, extra buffers and flags.
var (
	register12 = []Field{{0, 0, 28}, {28, 32, 2}, {30, 34, 2}, {32, 36, 4}, {48, 40, 4}, {40, 48, 8}}
	register13 = []Field{{0, 0, 28}, {28, 32, 2}, {30, 34, 2}, {32, 36, 4}, {36, 40, 4}, {40, 48, 8}}
)

// OldBody returns the body of a request in this version, if it differs from that in API 14.
func OldBody(version, kind uint16) (Body, bool) {
	b, ok := oldBodies[version][kind]
	return b, ok
}

// ToNew translates a body to API 14. Fields that the old body does not have keep their values in
// to.
func (b *Body) ToNew(to, old []byte) {
	for _, f := range b.Fields {
		copy(to[f.New:f.New+f.N], old[f.Old:])
	}
}

// ToOld translates a body from API 14. Fields that API 14 does not have keep their values in old.
func (b *Body) ToOld(old, from []byte) {
	for _, f := range b.Fields {
		copy(old[f.Old:f.Old+f.N], from[f.New:])
	}
}
