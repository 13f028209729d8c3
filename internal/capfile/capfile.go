// Package capfile writes and reads capture files, pcapng and pcap.
//
// It writes into memory of the caller, so that a receiver can make a file's bytes itself, and
// another thread only writes them out. Both formats are written little-endian, with times in
// nanoseconds, for one interface with Ethernet frames.
//
// It reads what libpcap reads, and more: see Reader. gopacket's readers do not suffice. They refuse
// old versions of pcap and lengths that contradict each other, get fractions of a second in powers
// of 2 wrong, and skip packets without an error.
package capfile

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"time"
)

// Format is a format of capture files.
type Format int

// The formats.
const (
	Pcapng Format = iota
	Pcap
)

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	switch s {
	case "pcapng":
		return Pcapng, nil
	case "pcap":
		return Pcap, nil
	}
	return 0, fmt.Errorf("%q is no format: choose pcapng or pcap", s)
}

// MaxSnap is the largest number of bytes of a frame that programs accept in such files.
const MaxSnap = 262144

// Interface describes the source of a file's frames.
type Interface struct {
	Name    string
	Filter  string // the filter of the file's frames; "" if there is none
	Program string // the program that writes the file
	Snap    int    // how many bytes of a frame are kept
	Bare    bool   // frames have no Ethernet header: they are IP packets
}

// Stats are the counts at the end of a file. Pcap has no place for them.
type Stats struct {
	Start, End time.Time
	Received   uint64 // frames that arrived, including dropped ones
	Accepted   uint64 // by the filter
	Captured   uint64 // frames that are in files
	Dropped    uint64
	AllDrops   bool // Dropped is complete; otherwise a Dropped of 0 means nothing
}

// Types of pcapng's blocks and options.
const (
	sectionHeader  = 0x0a0d0d0a
	interfaceDesc  = 1
	interfaceStats = 5
	enhancedPacket = 6

	byteOrder    = 0x1a2b3c4d
	ethernet     = 1   // link types: LINKTYPE_ETHERNET
	bareIP       = 101 // LINKTYPE_RAW
	pcapNanosec  = 0xa1b23c4d
	pcapHeader   = 16 // bytes before a frame
	packetHeader = 28 // bytes before a frame, of enhancedPacket
	blockTrailer = 4

	optEnd         = 0
	shbOS          = 3
	shbProgram     = 4
	ifName         = 2
	ifTsresol      = 9
	ifFilter       = 11
	isbStart       = 2
	isbEnd         = 3
	isbReceived    = 4
	isbDropped     = 5
	isbAccepted    = 6
	isbDelivered   = 8
	nanoseconds    = 9 // 10^-9
	filterIsText   = 0
	unknownSection = ^uint64(0) // length of a section
)

var le = binary.LittleEndian

func (i *Interface) linkType() uint32 {
	if i.Bare {
		return bareIP
	}
	return ethernet
}

// AppendHeader appends the header of a file.
func (f Format) AppendHeader(b []byte, i Interface) []byte {
	if f == Pcap {
		b = le.AppendUint32(b, pcapNanosec)
		b = le.AppendUint16(b, 2)
		b = le.AppendUint16(b, 4)
		b = le.AppendUint64(b, 0) // time zone and accuracy, which no reader uses
		b = le.AppendUint32(b, uint32(i.Snap))
		return le.AppendUint32(b, i.linkType())
	}
	b = appendBlock(b, sectionHeader, func(b []byte) []byte {
		b = le.AppendUint32(b, byteOrder)
		b = le.AppendUint16(b, 1)
		b = le.AppendUint16(b, 0)
		b = le.AppendUint64(b, unknownSection)
		b = appendOption(b, shbOS, []byte(runtime.GOOS))
		b = appendOption(b, shbProgram, []byte(i.Program))
		return appendOption(b, optEnd, nil)
	})
	return appendBlock(b, interfaceDesc, func(b []byte) []byte {
		b = le.AppendUint32(b, i.linkType()) // and two reserved bytes
		b = le.AppendUint32(b, uint32(i.Snap))
		b = appendOption(b, ifName, []byte(i.Name))
		b = appendOption(b, ifTsresol, []byte{nanoseconds})
		if i.Filter != "" {
			b = appendOption(b, ifFilter, append([]byte{filterIsText}, i.Filter...))
		}
		return appendOption(b, optEnd, nil)
	})
}

// RecordSize is the size of a record of which n bytes of the frame are kept.
func (f Format) RecordSize(n int) int {
	if f == Pcap {
		return pcapHeader + n
	}
	return packetHeader + (n+3)&^3 + blockTrailer
}

// AppendRecord appends a record of a frame. Length is the frame's length, and at is when it
// arrived, in nanoseconds since 1970. It does not allocate if b has room for RecordSize bytes.
func (f Format) AppendRecord(b []byte, at int64, frame []byte, length int) []byte {
	if f == Pcap {
		b = le.AppendUint32(b, uint32(at/1e9))
		b = le.AppendUint32(b, uint32(at%1e9))
		b = le.AppendUint32(b, uint32(len(frame)))
		b = le.AppendUint32(b, uint32(length))
		return append(b, frame...)
	}
	size := uint32(f.RecordSize(len(frame)))
	b = le.AppendUint64(b, uint64(size)<<32|enhancedPacket)
	b = le.AppendUint32(b, 0) // the interface
	b = le.AppendUint32(b, uint32(at>>32))
	b = le.AppendUint32(b, uint32(at))
	b = le.AppendUint32(b, uint32(len(frame)))
	b = le.AppendUint32(b, uint32(length))
	b = pad(append(b, frame...), len(frame))
	return le.AppendUint32(b, size)
}

// AppendTrailer appends the end of a file.
func (f Format) AppendTrailer(b []byte, s Stats) []byte {
	if f == Pcap {
		return b
	}
	return appendBlock(b, interfaceStats, func(b []byte) []byte {
		b = le.AppendUint32(b, 0) // the interface
		b = appendTime(b, s.End)
		b = appendOption(b, isbStart, appendTime(nil, s.Start))
		b = appendOption(b, isbEnd, appendTime(nil, s.End))
		b = appendOption(b, isbReceived, le.AppendUint64(nil, s.Received))
		if s.AllDrops || s.Dropped > 0 {
			b = appendOption(b, isbDropped, le.AppendUint64(nil, s.Dropped))
		}
		b = appendOption(b, isbAccepted, le.AppendUint64(nil, s.Accepted))
		b = appendOption(b, isbDelivered, le.AppendUint64(nil, s.Captured))
		return appendOption(b, optEnd, nil)
	})
}

// appendBlock appends a block of pcapng, with its length before and after the body.
func appendBlock(b []byte, kind uint32, body func([]byte) []byte) []byte {
	start := len(b)
	b = le.AppendUint32(b, kind)
	b = body(le.AppendUint32(b, 0))
	size := uint32(len(b) - start + blockTrailer)
	le.PutUint32(b[start+4:], size)
	return le.AppendUint32(b, size)
}

func appendOption(b []byte, code uint16, value []byte) []byte {
	b = le.AppendUint16(b, code)
	b = le.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...), len(value))
}

// appendTime appends a time, upper half first.
func appendTime(b []byte, t time.Time) []byte {
	ns := uint64(t.UnixNano())
	return le.AppendUint32(le.AppendUint32(b, uint32(ns>>32)), uint32(ns))
}

// pad fills up to a multiple of 4 bytes, after n bytes.
func pad(b []byte, n int) []byte {
	for ; n&3 != 0; n++ {
		b = append(b, 0)
	}
	return b
}
