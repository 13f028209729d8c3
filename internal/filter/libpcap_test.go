package filter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

const (
	expressionsFile = "testdata/expressions.txt"
	programsFile    = "testdata/libpcap.txt"
)

var update = flag.Bool("update", false,
	"let tcpdump compile "+expressionsFile+" again, into "+programsFile)

// expressions are the expressions that the tests compare.
func expressions(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile(expressionsFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// writePrograms lets tcpdump compile the expressions.
func writePrograms(t *testing.T) {
	t.Helper()
	var all bytes.Buffer
	for _, e := range expressions(t) {
		out, err := exec.Command("tcpdump", "-y", "EN10MB", "-ddd", e).Output()
		if err != nil {
			t.Fatalf("tcpdump does not compile %q: %v", e, err)
		}
		fmt.Fprintf(&all, "%s\n%s", e, out)
	}
	if err := os.WriteFile(programsFile, all.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// libpcap returns libpcap's programs for the expressions, in the format of tcpdump -ddd.
func libpcap(t *testing.T) map[string][]bpf.RawInstruction {
	t.Helper()
	b, err := os.ReadFile(programsFile)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]bpf.RawInstruction{}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		expr, n := lines.Text(), 0
		lines.Scan()
		if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
			t.Fatalf("%s: after %q: %v", programsFile, expr, err)
		}
		for range n {
			var in bpf.RawInstruction
			lines.Scan()
			if _, err := fmt.Sscan(lines.Text(), &in.Op, &in.Jt, &in.Jf, &in.K); err != nil {
				t.Fatalf("%s: in %q: %v", programsFile, expr, err)
			}
			all[expr] = append(all[expr], in)
		}
	}
	return all
}

func newVM(t testing.TB, raw []bpf.RawInstruction) *bpf.VM {
	t.Helper()
	list, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatalf("an invalid instruction in %v", raw)
	}
	vm, err := bpf.NewVM(list)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func verdict(t testing.TB, vm *bpf.VM, frame []byte) bool {
	t.Helper()
	n, err := vm.Run(frame)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// For every expression, this package's program and libpcap's give the same results on frames of all
// kinds, and both results occur. Truncated frames are only given to this package's program, on two
// machines: when libpcap's program stops on them depends on its optimizer.
func TestSameAsLibpcap(t *testing.T) {
	if *update {
		writePrograms(t)
	}
	theirs := libpcap(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	frames := make([][]byte, 5000)
	for i := range frames {
		frames[i] = randomFrame(rnd)
	}
	for _, expr := range expressions(t) {
		if theirs[expr] == nil {
			t.Fatalf("no program for %q: run the test with -update", expr)
		}
		p, err := Compile(expr)
		if err != nil {
			t.Error(err)
			continue
		}
		their, our := newVM(t, theirs[expr]), newVM(t, p.Raw())
		matched, differ := 0, 0
		for _, f := range frames {
			want := verdict(t, their, f)
			if got := p.Match(f); got != want {
				if differ++; differ == 1 {
					t.Errorf("%s: %v, libpcap %v on %x\n%v", expr, got, want, f[:80], p.Raw())
				}
			}
			if want {
				matched++
			}
			short := f[:rnd.IntN(len(f))]
			if got, want := p.Match(short), verdict(t, our, short); got != want {
				t.Fatalf("%s: %v, another machine %v on %x", expr, got, want, short)
			}
		}
		if matched == 0 || matched == len(frames) {
			t.Errorf("%s: %d of %d frames match: the test shows nothing", expr, matched,
				len(frames))
		}
	}
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// randomFrame is a frame of at least 128 bytes. Its fields often have values from the expressions.
func randomFrame(r *rand.Rand) []byte {
	f := make([]byte, 0, 256)
	for range 2 {
		mac := pick(r, "\x02\x00\x00\x00\x00\x01", "\x02\x00\x00\x00\x00\x02",
			"\xff\xff\xff\xff\xff\xff", "\x33\x33\x00\x00\x00\x01")
		f = append(f, mac...)
	}
	for r.IntN(3) == 0 {
		f = append(f, pick(r, "\x81\x00", "\x88\xa8", "\x91\x00")...)
		f = append(f, byte(r.Uint32())&0xf0, pick(r, byte(5), 6, 7))
	}
	switch r.IntN(12) {
	case 0:
		f = randomARP(r, append(f, pick(r, "\x08\x06", "\x80\x35")...))
	case 1:
		kind := pick(r, "\x88\xcc", "\x00\x05\x42\x42", "\x05\xdc\x05\x05", "\x80\xf3", "\x00\x40")
		f = append(f, kind...)
	case 2, 3, 4, 5:
		f = randomIPv6(r, append(f, "\x86\xdd"...))
	default:
		f = randomIPv4(r, append(f, "\x08\x00"...))
	}
	for size := 128 + r.IntN(64); len(f) < size; {
		f = append(f, byte(r.Uint32()))
	}
	return f
}

func randomARP(r *rand.Rand, f []byte) []byte {
	f = append(f, 0, 1, 8, 0, 6, 4, 0, byte(r.IntN(3)))
	f = append(f, "\x02\x00\x00\x00\x00\x01"...)
	f = append(f, randomAddr(r)...)
	f = append(f, "\x02\x00\x00\x00\x00\x02"...)
	return append(f, randomAddr(r)...)
}

func randomAddr(r *rand.Rand) string {
	return pick(r, "\x0a\x00\x00\x01", "\x0a\x00\x00\x02", "\x0a\x00\x00\x05", "\x0a\x01\x02\x03",
		"\xc0\xa8\x00\x01", "\xe0\x00\x00\x01")
}

func randomProto(r *rand.Rand) byte {
	return pick(r, byte(6), 6, 6, 17, 17, 132, 1, 58, 2, 9, 112, 103, 51, 50, 47, 44)
}

func randomIPv4(r *rand.Rand, f []byte) []byte {
	words := pick(r, byte(5), 5, 5, 6, 15)
	fragment := pick(r, uint16(0), 0, 0, 0x4000, 0x2000, 5)
	proto := randomProto(r)
	f = append(f, 0x40|words, 0)
	f = binary.BigEndian.AppendUint16(f, pick(r, uint16(114), 40, 60, 100))
	f = append(f, 0, 0)
	f = binary.BigEndian.AppendUint16(f, fragment)
	f = append(f, pick(r, byte(64), 63, 1, 255), proto, 0, 0)
	f = append(f, randomAddr(r)...)
	f = append(f, randomAddr(r)...)
	for range 4 * (words - 5) {
		f = append(f, byte(r.Uint32()))
	}
	return randomTransport(r, proto, f)
}

func randomIPv6(r *rand.Rand, f []byte) []byte {
	proto := randomProto(r)
	f = append(f, 0x60, 0, 0, 0, 0, 60, proto, pick(r, byte(64), 1, 255))
	for range 2 {
		f = append(f, pick(r, "\x20\x01\x0d\xb8", "\xff\x02\x00\x00", "\xfe\x80\x00\x00")...)
		f = append(f, 0, 0, 0, 0, 0, byte(r.IntN(2)), 0, 0, 0, 0, 0, byte(r.IntN(3)))
	}
	if proto == 44 {
		proto = randomProto(r)
		f = append(f, proto, 0, 0, 0, 0, 0, 0, 0)
	}
	return randomTransport(r, proto, f)
}

func randomTransport(r *rand.Rand, proto byte, f []byte) []byte {
	port := func() {
		f = binary.BigEndian.AppendUint16(f,
			pick(r, uint16(80), 80, 443, 53, 60, 8080, uint16(r.Uint32())))
	}
	switch proto {
	case 1, 2, 58:
		return append(f, pick(r, byte(8), 0, 128, 129, 17), pick(r, byte(0), 1))
	case 6:
		port()
		port()
		f = append(f, "\x00\x00\x00\x00\x00\x00\x00\x00"...)
		return append(f, pick(r, byte(0x50), 0x60), pick(r, byte(2), 16, 18, 1, 4, 24), 0, 0, 0, 0,
			0, 0, 'G', 'E', 'T', ' ')
	case 17:
		port()
		port()
		return append(f, 0, pick(r, byte(8), 20, 30), 0, 0)
	}
	port()
	port()
	return f
}
