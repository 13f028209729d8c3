package capfile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// sample is a small file, and what reading it gives.
type sample struct {
	name   string
	file   []byte
	want   []frame
	others uint64 // packets of other link types
	err    string // text of the error that ends it; "" if there is none

	// unlike is why libpcap gives something else. Frames that both give are the same nevertheless.
	unlike string
	fcs    int // bytes of frame check sequence that libpcap keeps
	snap   int // where libpcap cuts frames; 0 if it does not
}

// frame is a frame that is read.
type frame struct {
	data   []byte
	length int
	ns     int64 // timeless if there is none
}

const timeless = -1

// endian is a byte order.
type endian interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// pack writes numbers and bytes in a byte order.
func pack(o endian, values ...any) (b []byte) {
	for _, v := range values {
		switch v := v.(type) {
		case byte:
			b = append(b, v)
		case uint16:
			b = o.AppendUint16(b, v)
		case uint32:
			b = o.AppendUint32(b, v)
		case uint64:
			b = o.AppendUint64(b, v)
		case string:
			b = append(b, v...)
		case []byte:
			b = append(b, v...)
		default:
			panic(fmt.Sprintf("%T", v))
		}
	}
	return b
}

var (
	little = binary.LittleEndian
	big    = binary.BigEndian
)

// payload is n bytes that differ from their neighbours.
func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + n)
	}
	return b
}

// old is the header of a pcap file.
func old(o endian, magic uint32, major, minor uint16, snap, network uint32) []byte {
	return pack(o, magic, major, minor, uint32(0), uint32(0), snap, network)
}

// usual is a usual file with these records.
func usual(records ...[]byte) []byte {
	return append(old(little, pcapMicros, 2, 4, 65535, 1), bytes.Join(records, nil)...)
}

func record(o endian, sec, frac, kept, length uint32, data []byte) []byte {
	return pack(o, sec, frac, kept, length, data)
}

// plain is a record with all of a frame, captured at 5.000006 s.
func plain(n int) []byte { return record(little, 5, 6, uint32(n), uint32(n), payload(n)) }

// plainFrames are whole frames, as plain makes them.
func plainFrames(lengths ...int) (all []frame) {
	for _, n := range lengths {
		all = append(all, frame{payload(n), n, 5_000_006_000})
	}
	return all
}

func block(o endian, kind uint32, values ...any) []byte {
	b := pack(o, values...)
	b = append(b, make([]byte, -len(b)&3)...)
	size := uint32(len(b) + 12)
	return pack(o, kind, size, b, size)
}

func section(o endian) []byte {
	return block(o, sectionHeader, uint32(byteOrder), uint16(1), uint16(0), unknownSection)
}

func describe(o endian, link uint16, snap uint32, options ...[]byte) []byte {
	return block(o, interfaceDesc, link, uint16(0), snap, bytes.Join(options, nil))
}

func opt(o endian, code uint16, value ...any) []byte {
	b := pack(o, value...)
	return pack(o, code, uint16(len(b)), b, make([]byte, -len(b)&3))
}

func enhanced(o endian, id uint32, t uint64, kept, length uint32, data []byte,
	options ...[]byte) []byte {
	return block(o, enhancedPacket, id, uint32(t>>32), uint32(t), kept, length, data,
		make([]byte, -len(data)&3), bytes.Join(options, nil))
}

// stamped is a frame of 60 bytes at t, of interface id.
func stamped(o endian, id uint32, t uint64) []byte {
	return enhanced(o, id, t, 60, 60, payload(60))
}

// at makes frames of 60 bytes with these times.
func at(times ...int64) (all []frame) {
	for _, t := range times {
		all = append(all, frame{payload(60), 60, t})
	}
	return all
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// start is a section with an interface of Ethernet frames.
func start(o endian, options ...[]byte) []byte {
	return join(section(o), describe(o, 1, 0, options...))
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func pcapSamples() (all []sample) {
	for name, o := range map[string]endian{"little": little, "big": big} {
		rec := record(o, 5, 6, 60, 60, payload(60))
		all = append(all,
			sample{name: name + " microseconds", file: join(old(o, pcapMicros, 2, 4, 65535, 1), rec, rec),
				want: plainFrames(60, 60)},
			sample{name: name + " nanoseconds", file: join(old(o, pcapNanosec, 2, 4, 65535, 1), rec),
				want: at(5_000_000_006)},
			sample{name: name + " of Kuznetzov", file: join(old(o, pcapKuznetzov, 2, 4, 65535, 1),
				pack(o, uint32(5), uint32(6), uint32(60), uint32(60), uint32(2), uint16(8), uint16(0),
					payload(60)),
				pack(o, uint32(5), uint32(6), uint32(61), uint32(61), uint32(2), uint16(8), uint16(0),
					payload(61)),
			), want: plainFrames(60, 61)},
		)
		for _, magic := range []uint32{0xa12b3c4d, 0xa1b234cd, 0xa1b2c3cb, 0x1c0001ac, 0x1c0001ab} {
			all = append(all, sample{name: fmt.Sprintf("%s %#x", name, magic),
				file: old(o, magic, 2, 4, 65535, 1), err: "this is a"})
		}
	}
	for i := range all {
		if all[i].err != "" && strings.Contains(all[i].name, "0xa1") &&
			!strings.HasSuffix(all[i].name, "cb") {
			all[i].err = "libpcap does not read"
		}
	}
	part := record(little, 5, 6, 40, 60, payload(40))
	return append(all,
		sample{name: "no packet", file: usual()},
		sample{name: "a beginning", file: usual(part), want: []frame{{payload(40), 60, 5_000_006_000}}},
		sample{name: "empty packet", file: usual(plain(0), plain(60)), want: plainFrames(0, 60)},
		sample{name: "more than there was",
			file: usual(record(little, 5, 6, 80, 60, payload(80)), plain(61)),
			want: []frame{{payload(80)[:60], 60, 5_000_006_000}, plainFrames(61)[0]}},
		sample{name: "more than nothing", file: usual(record(little, 5, 6, 80, 0, payload(80)),
			plain(61)),
			want: []frame{{nil, 0, 5_000_006_000}, plainFrames(61)[0]}},
		sample{name: "more than 2^31", file: usual(record(little, 5, 6, 80, 1<<32-1, payload(80))),
			want: []frame{{payload(80), 1<<31 - 1, 5_000_006_000}}, unlike: "lengths are an int here"},
		sample{name: "seconds beyond 2^31", file: usual(record(little, 1<<32-1, 6, 60, 60, payload(60))),
			want: at(4294967295_000_006_000)},
		sample{name: "microseconds beyond a second",
			file: usual(record(little, 5, 2_000_000, 60, 60, payload(60))),
			want: at(7_000_000_000), unlike: "libpcap passes them on"},
		sample{name: "longer than the snapshot length",
			file: join(old(little, pcapMicros, 2, 4, 50, 1), plain(60), plain(40)),
			want: plainFrames(60, 40), snap: 50},
		sample{name: "snapshot length 0", file: join(old(little, pcapMicros, 2, 4, 0, 1), plain(60)),
			want: plainFrames(60)},
		sample{name: "snapshot length 2^32-1",
			file: join(old(little, pcapMicros, 2, 4, 1<<32-1, 1), plain(60)), want: plainFrames(60)},
		sample{name: "longest packet", file: usual(plain(60),
			record(little, 5, 6, MaxSnap, MaxSnap, payload(MaxSnap))),
			want: plainFrames(60, MaxSnap), snap: 65535},
		sample{name: "too long a packet", file: usual(plain(60),
			record(little, 5, 6, MaxSnap+1, MaxSnap+1, payload(MaxSnap+1))),
			want: plainFrames(60), err: "after packet 1: a packet of 262145 bytes"},
		sample{name: "huge length", file: usual(plain(60),
			record(little, 5, 6, 1<<32-1, 60, payload(60))), want: plainFrames(60), err: "damaged"},

		sample{name: "version 2.2", file: join(old(little, pcapMicros, 2, 2, 65535, 1),
			record(little, 5, 6, 60, 40, payload(40))),
			want: []frame{{payload(40), 60, 5_000_006_000}}},
		sample{name: "version 2.0", file: join(old(little, pcapMicros, 2, 0, 65535, 1), plain(60)),
			want: plainFrames(60)},
		sample{name: "version 2.3", file: join(old(little, pcapMicros, 2, 3, 65535, 1),
			record(little, 5, 6, 60, 40, payload(40)), part),
			want: []frame{{payload(40), 60, 5_000_006_000}, {payload(40), 60, 5_000_006_000}}},
		sample{name: "version 543.0", file: join(old(big, pcapMicros, 543, 0, 65535, 1),
			record(big, 5, 6, 60, 40, payload(40))),
			want: []frame{{payload(40), 60, 5_000_006_000}}},
		sample{name: "version 2.5", file: join(old(little, pcapMicros, 2, 5, 65535, 1), plain(60)),
			err: "version of pcap is 2.5"},
		sample{name: "version 3.4", file: join(old(little, pcapMicros, 3, 4, 65535, 1), plain(60)),
			err: "version of pcap is 3.4"},

		sample{name: "FCS of 4 bytes", file: join(old(little, pcapMicros, 2, 4, 65535, 2<<28|1<<26|1),
			plain(64), part, record(little, 5, 6, 62, 64, payload(62))),
			want: []frame{{payload(64)[:60], 60, 5_000_006_000}, {payload(40), 56, 5_000_006_000},
				{payload(62)[:60], 60, 5_000_006_000}}, fcs: 4},
		sample{name: "FCS longer than the packet",
			file: join(old(little, pcapMicros, 2, 4, 65535, 2<<28|1<<26|1), plain(3)),
			want: []frame{{nil, 0, 5_000_006_000}}, fcs: 4},
		sample{name: "FCS of 0 bytes", file: join(old(little, pcapMicros, 2, 4, 65535, 1<<26|1),
			plain(64)), want: plainFrames(64)},
		sample{name: "length of FCS without the bit",
			file: join(old(little, pcapMicros, 2, 4, 65535, 2<<28|1), plain(64)), want: plainFrames(64)},
		sample{name: "reserved bits", file: join(old(little, pcapMicros, 2, 4, 65535, 1<<16|1),
			plain(64)), err: "link type is 0x10001",
			unlike: "libpcap reads it before 1.11"},
		sample{name: "raw IP", file: join(old(little, pcapMicros, 2, 4, 65535, 101), plain(64)),
			err: "link type 101, Raw, not", unlike: "it is not Ethernet"},
		sample{name: "unknown link type", file: join(old(little, pcapMicros, 2, 4, 65535, 65000),
			plain(64)), err: "link type 65000, not", unlike: "it is not Ethernet"},

		sample{name: "cut in a packet", file: usual(plain(60), plain(61)[:50]), want: plainFrames(60),
			err: "after packet 1: the file is cut short"},
		sample{name: "cut before a packet's bytes", file: usual(plain(60), plain(61)[:16]),
			want: plainFrames(60), err: "cut short"},
		sample{name: "cut in a packet's header", file: usual(plain(60), plain(61)[:15]),
			want: plainFrames(60), err: "cut short"},
		sample{name: "cut in the header", file: usual()[:23], err: "cut short"},
		sample{name: "cut in the magic", file: usual()[:3], err: "cut short"},
		sample{name: "nothing", err: "the file is empty"},
		sample{name: "text", file: []byte("This is no capture file."), err: "no pcap and no pcapng file"},
		sample{name: "zeros", file: make([]byte, 100), err: "no pcap and no pcapng file"},

		sample{name: "gzip", file: zip(usual(plain(60), plain(61))), want: plainFrames(60, 61),
			unlike: "libpcap does not unpack"},
		sample{name: "gzip in parts", file: join(zip(usual(plain(60))), zip(plain(61))),
			want: plainFrames(60, 61), unlike: "libpcap does not unpack"},
		sample{name: "gzip cut", file: zip(usual(plain(60), plain(61), plain(62)))[:60], err: "cut short",
			unlike: "libpcap does not unpack"},
		sample{name: "gzip of nothing", file: zip(nil), err: "the file is empty"},
		sample{name: "gzip cut in its header", file: []byte("\x1f\x8b\x08"), err: "cut short"},
		sample{name: "bad gzip", file: []byte("\x1f\x8bxxxxxxxxxxxxx"), err: "gzip"},
		sample{name: "zstd", file: []byte("\x28\xb5\x2f\xfd\x00\x00"), err: "zstd -dc"},
		sample{name: "lz4", file: []byte("\x04\x22\x4d\x18\x00\x00"), err: "lz4 -dc"},
		sample{name: "xz", file: []byte("\xfd7zXZ\x00\x00"), err: "xz -dc"},
		sample{name: "bzip2", file: []byte("BZh91AY"), err: "bzip2 -dc"},
		sample{name: "snoop", file: []byte("snoop\x00\x00\x00\x00\x00\x00\x02"), err: "editcap"},
	)
}

func pcapngSamples() (all []sample) {
	const second = 1_000_000
	for name, o := range map[string]endian{"little": little, "big": big} {
		two := func(options ...[]byte) []byte {
			return join(start(o, options...), stamped(o, 0, 5*second+7), stamped(o, 0, 6*second))
		}
		all = append(all,
			sample{name: name + " plain", file: two(), want: at(5_000_007_000, 6_000_000_000)},
			sample{name: name + " nanoseconds of ng", file: two(opt(o, ifTsresol, byte(9)), opt(o, optEnd)),
				want: at(5_000_007, 6_000_000)},
			sample{name: name + " seconds", file: join(start(o, opt(o, ifTsresol, byte(0))),
				stamped(o, 0, 7)), want: at(7_000_000_000)},
			sample{name: name + " 10^-19 s", file: join(start(o, opt(o, ifTsresol, byte(19))),
				stamped(o, 0, 15_000_000_000_000_000_000)), want: at(1_500_000_000)},
			sample{name: name + " 2^-10 s", file: join(start(o, opt(o, ifTsresol, byte(0x8a))),
				stamped(o, 0, 5<<10|512)), want: at(5_500_000_000)},
			sample{name: name + " 2^-20 s", file: join(start(o, opt(o, ifTsresol, byte(0x94))),
				stamped(o, 0, 5<<20|(1<<20-1))), want: at(5_999_999_046)},
			sample{name: name + " 2^-29 s", file: join(start(o, opt(o, ifTsresol, byte(0x9d))),
				stamped(o, 0, 5<<29|1<<28)), want: at(5_500_000_000)},
			sample{name: name + " 2^-63 s", file: join(start(o, opt(o, ifTsresol, byte(0xbf))),
				stamped(o, 0, 1<<63|1<<62)), want: at(1_500_000_000),
				unlike: "libpcap's product overflows"},
			sample{name: name + " offset", file: two(opt(o, ifTsoffset, uint64(100))),
				want: at(105_000_007_000, 106_000_000_000)},
			sample{name: name + " offset below 0", file: two(opt(o, ifTsoffset, ^uint64(1))),
				want: at(3_000_007_000, 4_000_000_000)},
			sample{name: name + " old packet",
				file: join(start(o), block(o, oldPacket, uint16(0), uint16(9), uint32(0), uint32(5*second),
					uint32(60), uint32(60), payload(60))),
				want: at(5_000_000_000)},
			sample{name: name + " simple packet",
				file: join(section(o), describe(o, 1, 50), block(o, simplePacket, uint32(60), payload(60)[:50]),
					block(o, simplePacket, uint32(40), payload(40))),
				want: []frame{{payload(60)[:50], 60, timeless}, {payload(40), 40, timeless}}},
			sample{name: name + " FCS of a packet",
				file: join(start(o), enhanced(o, 0, 5*second, 64, 64, payload(64), opt(o, 1, "a comment"),
					opt(o, epbFlags, uint32(4<<5)))),
				want: []frame{{payload(64)[:60], 60, 5_000_000_000}}, fcs: 4},
		)
	}
	o := endian(little)
	five := func() []byte { return stamped(o, 0, 5*second) }
	raw, ethernet := describe(o, 101, 0), describe(o, 1, 0)
	foreign := enhanced(o, 0, 5*second, 20, 20, payload(20))
	const mixed = "libpcap wants one link type"
	fcs := []frame{{payload(64)[:60], 60, 5_000_000_000}}
	long := enhanced(o, 0, 5*second, 64, 64, payload(64))
	bad := func(b []byte, at int, v byte) []byte { b = bytes.Clone(b); b[at] = v; return b }
	return append(all,
		sample{name: "no block", file: section(o), err: "no interface"},
		sample{name: "ng without packet", file: start(o)},
		sample{name: "unknown blocks", file: join(section(o), block(o, 0xbad, "x"), ethernet,
			block(o, 0xbad, uint32(1), "text", "y"), five(),
			block(o, 0xa, uint32(0x544c534b), uint32(4), "keys"), block(o, 4, uint32(0)),
			block(o, 0x40000bad, uint32(1), "z"), five()), want: at(5_000_000_000, 5_000_000_000)},
		sample{name: "long unknown block",
			file: join(start(o), block(o, 0xbad, make([]byte, 3<<20)), five()), want: at(5_000_000_000)},
		sample{name: "long block of a packet",
			file: join(start(o), enhanced(o, 0, 5*second, 60, 60, payload(60),
				bytes.Repeat(opt(o, 1, make([]byte, 60000)), 20)), five()),
			want: at(5_000_000_000, 5_000_000_000)},
		sample{name: "options of a packet that make no sense",
			file: join(start(o), enhanced(o, 0, 5*second, 60, 60, payload(60),
				pack(o, uint16(2), uint16(5000))), five()),
			want: at(5_000_000_000, 5_000_000_000)},
		sample{name: "ng more than there was",
			file: join(start(o), enhanced(o, 0, 5*second, 80, 60, payload(80)), five()),
			want: []frame{{payload(80)[:60], 60, 5_000_000_000}, at(5_000_000_000)[0]}},
		sample{name: "version 1.2 of ng", file: join(block(o, sectionHeader, uint32(byteOrder), uint16(1),
			uint16(2), unknownSection), ethernet, five()), want: at(5_000_000_000)},
		sample{name: "version 1.1 of ng", file: join(block(o, sectionHeader, uint32(byteOrder), uint16(1),
			uint16(1), unknownSection), ethernet, five()), err: "version 1.1"},
		sample{name: "version 2.0 of ng", file: join(block(o, sectionHeader, uint32(byteOrder), uint16(2),
			uint16(0), unknownSection), ethernet, five()), err: "version 2.0"},
		sample{name: "ng in parts", file: zip(join(start(o), five())), want: at(5_000_000_000),
			unlike: "libpcap does not unpack"},

		sample{name: "interfaces with times of their own",
			file: join(start(o), describe(o, 1, 0, opt(o, ifTsresol, byte(9))),
				describe(o, 1, 0, opt(o, ifTsoffset, uint64(1))),
				stamped(o, 2, 5*second), stamped(o, 1, 5*second), stamped(o, 0, 5*second)),
			want: at(6_000_000_000, 5_000_000, 5_000_000_000)},
		sample{name: "interfaces with snapshot lengths of their own",
			file: join(section(o), describe(o, 1, 100), describe(o, 1, 200), stamped(o, 1, 5*second)),
			want: at(5_000_000_000), unlike: "libpcap wants one snapshot length"},
		sample{name: "ng longer than the snapshot length",
			file: join(section(o), describe(o, 1, 50), five()), want: at(5_000_000_000),
			unlike: "libpcap refuses it"},
		sample{name: "other link type behind",
			file: join(start(o), raw, stamped(o, 1, 5), five(), stamped(o, 1, 5)), want: at(5_000_000_000),
			others: 2, unlike: mixed},
		sample{name: "other link type in front",
			file: join(section(o), raw, ethernet, foreign, stamped(o, 1, 5*second)), want: at(5_000_000_000),
			others: 1, unlike: mixed},
		sample{name: "interface after packets",
			file: join(section(o), raw, foreign, ethernet, stamped(o, 1, 5*second), foreign),
			want: at(5_000_000_000), others: 2, unlike: mixed},
		sample{name: "other link type in a section before",
			file: join(section(o), raw, foreign, section(o), ethernet, five()), want: at(5_000_000_000),
			others: 1, unlike: mixed},
		sample{name: "other link type in a section behind",
			file: join(start(o), five(), section(o), raw, foreign), want: at(5_000_000_000), others: 1,
			unlike: mixed},
		sample{name: "only other link types", file: join(section(o), raw, foreign, foreign), others: 2,
			err: "link type 101, Raw, not Ethernet", unlike: mixed},
		sample{name: "longer than frames can be",
			file: join(start(o), describe(o, 249, 0),
				enhanced(o, 1, 5, MaxSnap+1, MaxSnap+1, payload(MaxSnap+1)), five()),
			want: at(5_000_000_000), others: 1, unlike: mixed},

		sample{name: "sections", file: join(start(o), five(), start(o), five()),
			want: at(5_000_000_000, 5_000_000_000)},
		sample{name: "sections in both orders",
			file:   join(start(big), stamped(big, 0, 5*second), start(o), five(), start(big)),
			want:   at(5_000_000_000, 5_000_000_000),
			unlike: "libpcap wants one order"},
		sample{name: "section without interface", file: join(start(o), five(), section(o), five()),
			want: at(5_000_000_000), err: "after packet 1: a packet of interface 0"},
		sample{name: "packet before its interface", file: join(section(o), five(), ethernet),
			err: "interface 0"},
		sample{name: "packet of no interface", file: join(start(o), five(), stamped(o, 1, 5)),
			want: at(5_000_000_000), err: "interface 1"},

		sample{name: "if_fcslen in bytes", file: join(start(o, opt(o, ifFCSLen, byte(4))), long),
			want: fcs, fcs: 4},
		sample{name: "if_fcslen in bits", file: join(start(o, opt(o, ifFCSLen, byte(32))), long),
			want: fcs, fcs: 4},
		sample{name: "if_fcslen and flags",
			file: join(start(o, opt(o, ifFCSLen, byte(2))),
				enhanced(o, 0, 5*second, 64, 64, payload(64), opt(o, epbFlags, uint32(4<<5)))), want: fcs,
			fcs: 4},
		sample{name: "flags without FCS", file: join(start(o, opt(o, ifFCSLen, byte(4))),
			enhanced(o, 0, 5*second, 64, 64, payload(64), opt(o, epbFlags, uint32(1)))), want: fcs, fcs: 4},

		sample{name: "times too fine", file: join(start(o, opt(o, ifTsresol, byte(20))), five()),
			err: "10^-20"},
		sample{name: "times too fine by 2", file: join(start(o, opt(o, ifTsresol, byte(0xc0))), five()),
			err: "2^-64"},
		sample{name: "times beyond what can be told",
			file:   join(start(o, opt(o, ifTsresol, byte(0))), stamped(o, 0, 1<<62), stamped(o, 0, 1<<63)),
			want:   at(4_600_000_000_000_000_000, -4_600_000_000_000_000_000),
			unlike: "its times have 32 bits here"},
		sample{name: "option of the wrong length",
			file: join(start(o, opt(o, ifTsresol, uint16(6))), five()), err: "option 9"},
		sample{name: "option cut", file: join(start(o, pack(o, uint16(2), uint16(8))), five()),
			err: "ends too early"},
		sample{name: "interface cut", file: join(section(o), block(o, interfaceDesc, uint32(1)), five()),
			err: "ends too early"},
		sample{name: "packet longer than its block",
			file: join(start(o), enhanced(o, 0, 5*second, 64, 64, payload(60)), five()),
			err:  "ends too early"},
		sample{name: "block of a packet cut",
			file: join(start(o), block(o, enhancedPacket, uint64(0)), five()), err: "ends too early"},
		sample{name: "simple packet longer than its block",
			file: join(start(o), block(o, simplePacket, uint32(64), payload(60))), err: "ends too early"},
		sample{name: "simple packet cut", file: join(start(o), block(o, simplePacket)),
			err: "ends too early"},
		sample{name: "old packet cut", file: join(start(o), block(o, oldPacket, uint32(0))),
			err: "ends too early"},
		sample{name: "ng huge length", file: join(start(o), five(),
			enhanced(o, 0, 5*second, 1<<32-1, 60, payload(60))), want: at(5_000_000_000), err: "damaged"},
		sample{name: "ng too long a packet",
			file: join(start(o), enhanced(o, 0, 5*second, MaxSnap+1, MaxSnap+1, payload(MaxSnap+1))),
			err:  "damaged"},
		sample{name: "block length not the same behind",
			file: join(start(o), five(), bad(five(), len(five())-4, 88)), want: at(5_000_000_000),
			err: "at its end"},
		sample{name: "section length not the same behind",
			file: join(bad(section(o), len(section(o))-4, 88), ethernet, five()), want: at(5_000_000_000)},
		sample{name: "block length odd", file: join(start(o), five(), bad(five(), 4, 91)),
			want: at(5_000_000_000), err: "a block of 91 bytes"},
		sample{name: "block length too short", file: join(start(o), five(), bad(five(), 4, 8)),
			want: at(5_000_000_000), err: "a block of 8 bytes"},
		sample{name: "block length huge", file: join(start(o), five(), bad(five(), 7, 0x7f)),
			want: at(5_000_000_000), err: "damaged"},
		sample{name: "no order of bytes", file: bad(start(o), 8, 0), err: "no pcapng file"},
		sample{name: "section cut", file: join(pack(o, sectionMagic, uint32(16), uint32(byteOrder),
			uint32(16)), ethernet), err: "ends too early"},
		sample{name: "ng cut in a packet", file: join(start(o), five(), five()[:50]),
			want: at(5_000_000_000), err: "after packet 1: the file is cut short"},
		sample{name: "ng cut in a block's header", file: join(start(o), five(), five()[:5]),
			want: at(5_000_000_000), err: "cut short"},
		sample{name: "ng cut in the header", file: section(o)[:20], err: "cut short"},
		sample{name: "ng cut in its length", file: section(o)[:6], err: "cut short"},
	)
}

// TestCorpus reads odd files, and compares with libpcap.
func TestCorpus(t *testing.T) {
	path, err := exec.LookPath("tcpdump")
	seen := map[string]bool{}
	for _, s := range append(pcapSamples(), pcapngSamples()...) {
		if seen[s.name] {
			t.Errorf("%s is there twice", s.name)
		}
		seen[s.name] = true
		t.Run(s.name, func(t *testing.T) {
			s.read(t)
			testutil.Require(t, "tcpdump", err)
			s.compare(t, path)
		})
	}
}

// read reads the file.
func (s *sample) read(t *testing.T) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(s.file))
	var got []Packet
	for err == nil {
		var p Packet
		if p, err = r.Next(); err == nil && p.IsEthernet() {
			p.Data = bytes.Clone(p.Data)
			got = append(got, p)
		}
	}
	switch {
	case s.err == "" && err != io.EOF, s.err != "" && !strings.Contains(err.Error(), s.err),
		strings.Contains(err.Error(), "\n"):
		t.Errorf("error %q, want one with %q", err, s.err)
	case strings.Contains(s.err, "cut short") && !errors.Is(err, io.ErrUnexpectedEOF):
		t.Errorf("%q is no io.ErrUnexpectedEOF", err)
	}
	if r != nil {
		if _, others := r.Packets(); others != s.others {
			t.Errorf("%d of other link types, want %d", others, s.others)
		}
	}
	if len(got) != len(s.want) {
		t.Fatalf("%d frames, want %d", len(got), len(s.want))
	}
	for i, p := range got {
		w := s.want[i]
		if !bytes.Equal(p.Data, w.data) || p.Length != w.length || p.Timeless != (w.ns == timeless) ||
			!p.Timeless && p.Time != w.ns {
			t.Errorf("frame %d is %+v, want %+v", i, p, w)
		}
	}
}

// compare reads the file with tcpdump, which writes it anew in the usual form.
func (s *sample) compare(t *testing.T, tcpdump string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(tcpdump, "--time-stamp-precision=nano", "-r", "-", "-w", "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(s.file), &stdout, &stderr
	err := cmd.Run()
	got := written(t, stdout.Bytes())
	if s.unlike == "" && (err != nil) != (s.err != "") {
		t.Errorf("tcpdump ends with %v, %s", err, &stderr)
	}
	if s.unlike == "" && len(got) != len(s.want) {
		t.Fatalf("tcpdump has %d frames, want %d\n%s", len(got), len(s.want), &stderr)
	}
	if s.unlike != "" {
		t.Logf("%s: tcpdump has %d frames, %v %s", s.unlike, len(got), err, &stderr)
	}
	for i, w := range s.want[:min(len(got), len(s.want))] {
		g := got[i]
		g.length = max(g.length-s.fcs, 0)
		g.data = g.data[:min(len(g.data), g.length)]
		if s.snap > 0 {
			w.data = w.data[:min(len(w.data), s.snap)]
		}
		if w.ns == timeless {
			w.ns = 0
		}
		if s.unlike != "" {
			g.ns, g.length = w.ns, w.length
		}
		if !bytes.Equal(g.data, w.data) || g.length != w.length || g.ns != w.ns {
			t.Errorf("frame %d of tcpdump is %+v, want %+v", i, g, w)
		}
	}
}

// written returns the frames of a file, in nanoseconds and little-endian; none if they are not
// Ethernet.
func written(t *testing.T, b []byte) (all []frame) {
	t.Helper()
	const file, header = 24, 16
	if len(b) >= file && le.Uint16(b[20:]) != ethernet {
		return nil
	}
	for b = b[min(len(b), file):]; len(b) > 0; {
		if len(b) < header || len(b) < header+int(le.Uint32(b[8:])) {
			t.Fatalf("tcpdump ends with % x", b)
		}
		n := header + int(le.Uint32(b[8:]))
		all = append(all, frame{b[header:n], int(min(le.Uint32(b[12:]), math.MaxInt32)),
			int64(le.Uint32(b))*1e9 + int64(le.Uint32(b[4:]))})
		b = b[n:]
	}
	return all
}
