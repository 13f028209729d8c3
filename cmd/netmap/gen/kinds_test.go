package gen

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/record"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/embed"
)

// All kinds of frames with marks arrive, and every byte is checked.
func TestKindsOfFrames(t *testing.T) {
	for _, args := range []string{
		"-6", "-6 -l 1514", "-l 300 -l 60", "-l 300 -l 80 -6", "-z", "-Z", "-z -Z -6",
		"-s 10.0.0.1:5-10.0.0.9:77 -d 10.1.0.1-10.1.0.200", "-s [2001:db8::1]:5-[2001:db8::9]:77",
		"-b 1", "-R 200Mbps", "-R 400kpps -B", "-l 200 -o 512", "-o 3",
	} {
		t.Run(args, func(t *testing.T) {
			const n = 3000
			r := runAll(t, strings.Fields(args+" -f tx -i x{1 -n 3000"),
				strings.Fields("-f rx -i x}1 -n 3000"))
			tx, rx := r[0], r[1]
			if tx.Frames != n || rx.Frames != n || rx.Bytes != tx.Bytes ||
				*rx.Check != (record.Checks{Counts: testframe.Counts{Seen: n}}) {
				t.Errorf("sent %d frames, %d bytes, received %d, %d: %+v", tx.Frames, tx.Bytes, rx.Frames,
					rx.Bytes, rx.Check)
			}
		})
	}
}

// When the port of a monitor is closed, gen receives the frames that the monitor has, and then ends
// with the error, or with the count.
func TestMonitorOfClosedPort(t *testing.T) {
	for _, tt := range [][2]string{{"0", "vale0:a"}, {"3", "vale0:a"}, {"0", "x{1"}, {"3", "x{1"}} {
		count, port := tt[0], tt[1]
		f, err := embed.New(embed.Config{NoHugePages: true})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		parent := cli.Must(f.Open(port))
		j := openJob(t, f.Open, "-f", "rx", "-i", port+"/t", "-n", count)
		parent.Tx()[0].Send(make([]byte, 60), make([]byte, 5000), make([]byte, 60))
		parent.TxSync()
		parent.Close()
		_, err = j.run(t.Context())
		if n := j.moved[0].frames.Load(); n != 3 || (count == "0") != errors.Is(err, syscall.EIO) {
			t.Errorf("%s, -n %s: %d frames, then %v", port, count, n, err)
		}
		if out := j.out.(*bytes.Buffer).String(); !strings.Contains(out, "Received 3 packets") {
			t.Errorf("%s, -n %s: told %q", port, count, out)
		}
	}
}

// Sender and receiver respect offsets.
func TestOffsetsOfFrames(t *testing.T) {
	for _, ports := range [][2]string{{"x{1@offset=64", "x}1"}, {"x{1", "x}1@offset=64"},
		{"vale0:a@offset=100", "vale0:b@offset=64"}} {
		for _, length := range []string{"60", "1900", "5000"} {
			r := runAll(t, strings.Fields("-f tx -R 20k -n 200 -l "+length+" -i "+ports[0]),
				strings.Fields("-f rx -n 200 -i "+ports[1]))
			if tx, rx := r[0], r[1]; tx.Frames != 200 ||
				*rx.Check != (record.Checks{Counts: testframe.Counts{Seen: 200}}) {
				t.Errorf("%v, %s bytes: sent %d, received %d: %+v", ports, length, tx.Frames, rx.Frames,
					rx.Check)
			}
		}
	}
}

func TestRandomLengths(t *testing.T) {
	r := runAll(t, strings.Fields("-f tx -i x{1 -n 20000 -l 101 -l 60"),
		strings.Fields("-f rx -i x}1 -n 20000"))
	if mean := float64(r[1].Bytes) / 20000; mean < 79 || mean > 81 {
		t.Errorf("%.2f bytes a frame on the average, want 80", mean)
	}
}

// sent runs a sender, and returns the contents and the flags of the slots at the other end of its
// pipe.
func sent(t *testing.T, args string) (data [][]byte, flags []uint16) {
	t.Helper()
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	j := openJob(t, f.Open, strings.Fields("-f tx "+args+" -i x{1")...)
	rx, err := f.Open("x}1", netmap.RxOnly())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := j.run(t.Context()); done <- err }()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := rx.RxSync(); err != nil {
			t.Fatal(err)
		}
		w := rx.Rx()[0].Window()
		for ; w.Len() > 0; w.Next() {
			data = append(data, bytes.Clone(w.Frame()))
			flags = append(flags, w.Slot().Flags)
		}
		w.Commit()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return data, flags
		default:
		}
	}
	t.Fatal("the sender does not end")
	return nil, nil
}

func TestFragments(t *testing.T) {
	for _, tt := range []struct {
		args string
		want []int
	}{
		{"-n 1 -F 3 -l 100", []int{33, 33, 34}}, {"-n 1 -F 2 -l 100 -M 30", []int{30, 30, 30, 10}},
		{"-n 2 -F 2 -l 60", []int{30, 30, 30, 30}},
		{"-n 1 -M 2048 -l 5000", []int{2048, 2048, 904}}, {"-n 1 -M 9000 -l 100", []int{100}},
	} {
		data, flags := sent(t, tt.args)
		var lengths []int
		for _, d := range data {
			lengths = append(lengths, len(d))
		}
		if fmt.Sprint(lengths) != fmt.Sprint(tt.want) {
			t.Errorf("%s: slots of %v bytes, want %v", tt.args, lengths, tt.want)
			continue
		}
		var whole []byte
		for i, d := range data {
			whole = append(whole, d...)
			if end := flags[i]&0x20 == 0; end {
				if _, v := new(testframe.Checker).Check(whole); v != testframe.Good {
					t.Errorf("%s: the frame that ends with slot %d is not good", tt.args, i)
				}
				whole = nil
			}
		}
		if len(whole) > 0 {
			t.Errorf("%s: the last slot has more to follow", tt.args)
		}
	}
}

// Another implementation parses a frame too short for a mark as a UDP packet, if the headers fit.
func TestShortFrames(t *testing.T) {
	for _, tt := range []struct {
		args string
		n    int
		kind gopacket.LayerType
	}{
		{"-n 2 -l 43", 43, layers.LayerTypeUDP},
		{"-n 2 -6 -l 62", 62, layers.LayerTypeUDP},
		{"-n 2 -l 16", 16, layers.LayerTypeEthernet},
	} {
		data, _ := sent(t, tt.args)
		if len(data) != 2 || len(data[0]) != tt.n {
			t.Fatalf("%s: %d frames, the first %x", tt.args, len(data), data)
		}
		p := gopacket.NewPacket(data[0], layers.LayerTypeEthernet, gopacket.Default)
		if p.Layer(tt.kind) == nil {
			t.Errorf("%s: no %v in %v", tt.args, tt.kind, p)
		}
	}
}

// Another implementation finds the addresses of the manual page's second example.
func TestDNSExample(t *testing.T) {
	data, _ := sent(t, "-n 3 -l 128 -s 172.16.0.1:53 -d 172.16.1.3:53 -D 00:07:43:29:2a:e0")
	for _, d := range data {
		p := gopacket.NewPacket(d, layers.LayerTypeEthernet, gopacket.Default)
		ip, udp := p.NetworkLayer(), p.TransportLayer()
		if len(d) != 128 || ip == nil || udp == nil ||
			ip.NetworkFlow().String() != "172.16.0.1->172.16.1.3" ||
			udp.TransportFlow().String() != "53->53" ||
			p.LinkLayer().LinkFlow().Dst().String() != "00:07:43:29:2a:e0" {
			t.Errorf("%v", p)
		}
	}
}

func TestPcap(t *testing.T) {
	first, second := bytes.Repeat([]byte("first"), 20), bytes.Repeat([]byte("second"), 20)
	info := func(b []byte) gopacket.CaptureInfo {
		return gopacket.CaptureInfo{CaptureLength: len(b), Length: len(b)}
	}
	var old, ng, empty, wireless, zipped bytes.Buffer
	w := pcapgo.NewWriter(&old)
	w.WriteFileHeader(65536, layers.LinkTypeEthernet)
	w.WritePacket(info(first), first)
	w.WritePacket(info(second), second)
	n, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	n.WritePacket(info(first), first)
	n.Flush()
	pcapgo.NewWriter(&empty).WriteFileHeader(65536, layers.LinkTypeEthernet)
	pcapgo.NewWriter(&wireless).WriteFileHeader(65536, layers.LinkTypeIEEE802_11)
	z := gzip.NewWriter(&zipped)
	z.Write(old.Bytes())
	z.Close()
	for _, tt := range []struct {
		name, bad string
		content   []byte
	}{
		{"zipped", "", zipped.Bytes()}, {"old", "", old.Bytes()}, {"ng", "", ng.Bytes()},
		{"empty", "no frame in it", empty.Bytes()}, {"wireless", "not Ethernet", wireless.Bytes()},
		{"cut", "cut short", old.Bytes()[:50]},
	} {
		path := filepath.Join(t.TempDir(), tt.name)
		if err := os.WriteFile(path, tt.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if tt.bad != "" {
			if _, _, err := runGen(t, "-f", "tx", "-i", "x{1", "-P", path); err == nil ||
				!strings.Contains(err.Error(), tt.bad) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.bad)
			}
			continue
		}
		data, _ := sent(t, "-n 3 -l 300 -l 60 -P "+path)
		if len(data) != 3 || !bytes.Equal(data[0], first) || !bytes.Equal(data[2], first) {
			t.Errorf("%s: sent %q", tt.name, data)
		}
	}
}

// gen writes which packets -P skips, and which bytes it leaves out.
func TestPcapRemarks(t *testing.T) {
	le := binary.LittleEndian
	block := func(kind uint32, body ...[]byte) []byte {
		b := bytes.Join(body, nil)
		size := le.AppendUint32(nil, uint32(len(b)+12))
		return slices.Concat(le.AppendUint32(nil, kind), size, b, size)
	}
	words := func(all ...uint32) (b []byte) {
		for _, w := range all {
			b = le.AppendUint32(b, w)
		}
		return b
	}
	raw := block(6, words(0, 0, 0, 4, 4, 0x45))
	flags := words(2|4<<16, 4<<5) // an FCS of four bytes
	frame := bytes.Repeat([]byte("data"), 25)
	head := slices.Concat(block(0x0a0d0d0a, words(0x1a2b3c4d, 1, 0, 0)), block(1, words(101, 0)),
		block(1, words(1, 0)))
	for name, tt := range map[string]struct {
		packets []byte
		length  int
		want    string
	}{
		"other link types": {slices.Concat(raw, raw, block(6, words(1, 0, 0, 100, 100), frame)), 100,
			"-P takes packet 3 of the file: 2 packets of other link types skipped."},
		"more than it had": {block(6, words(1, 0, 0, 100, 90), frame), 90, "-P leaves out"},
		"FCS": {block(6, words(1, 0, 0, 100, 100), frame, flags), 96,
			"-P leaves out the frame check sequence"},
		"a beginning": {block(6, words(1, 0, 0, 100, 1500), frame), 100,
			"-P sends the first 100 of the frame's 1500 bytes"},
	} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, slices.Concat(head, tt.packets), 0o600); err != nil {
			t.Fatal(err)
		}
		_, text, err := runGen(t, "-f", "tx", "-i", "x{1", "-n", "1", "-P", path)
		if err != nil || !strings.Contains(text, tt.want) {
			t.Errorf("%s: written %q, %v", name, text, err)
		}
		if data, _ := sent(t, "-n 1 -P "+path); len(data) != 1 ||
			!bytes.Equal(data[0], frame[:tt.length]) {
			t.Errorf("%s: sent %q", name, data)
		}
	}
}

func TestRubbish(t *testing.T) {
	data, _ := sent(t, "-n 2 -r -l 77")
	if len(data) != 2 || !bytes.Equal(data[0], make([]byte, 77)) { // the buffers of a new framework
		t.Errorf("%q", data)
	}
}

func TestNumbers(t *testing.T) {
	data, flags := sent(t, "-f txseq -n 6 -F 3 -R 1000 -s 10.0.0.1-10.0.0.2")
	for i, d := range data {
		if got := binary.BigEndian.Uint32(d[42:]); got != uint32(i) || flags[i]&0x20 != 0 != (i%3 < 2) {
			t.Errorf("slot %d: number %d, flags %#x", i, got, flags[i])
		}
	}
	r := runAll(t, strings.Fields("-f txseq -i x{1 -n 3000"),
		strings.Fields("-f rxseq -i x}1 -n 3000"))
	if rx := r[1]; rx.Frames != 3000 || rx.Drops != 0 || rx.Disorder != 0 ||
		!strings.Contains(record.Style{}.Text(*rx), "Numbers: 0 missing, 0 out of order.") {
		t.Errorf("%+v", rx)
	}
}

func TestNumbersThatAreMissing(t *testing.T) {
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tx, err := f.Open("x{1")
	if err != nil {
		t.Fatal(err)
	}
	j := openJob(t, f.Open, "-f", "rxseq", "-i", "x}1", "-n", "6")
	j.builders()
	b, buf := testframe.NewTemplate(j.flows, 60, true), make([]byte, 2048)
	for _, n := range []uint64{7, 8, 11, 10, 11} { // 9 and 10 are missing, then 10 is late
		b.Put(buf, n)
		tx.Tx()[0].Send(buf[:60])
	}
	tx.Tx()[0].Send(buf[:44])
	if err := tx.TxSync(); err != nil {
		t.Fatal(err)
	}
	r, err := j.run(t.Context())
	if err != nil || r.Drops != 2 || r.Disorder != 1 || r.Frames != 6 {
		t.Errorf("%v, %+v", err, r)
	}
	text := j.err.(*bytes.Buffer).String()
	if !strings.Contains(text, "Sequence GAP: exp 9 found 11") {
		t.Errorf("%q does not tell of the gap", text)
	}
}

// A receiver with -W waits for the first frame, and ends when no more come.
func TestExitIdle(t *testing.T) {
	start := time.Now()
	r := runAll(t, strings.Fields("-f tx -i x{1 -n 10"), strings.Fields("-f rx -i x}1 -W"))
	if took := time.Since(start); r[1].Frames != 10 || took < silence || took > 9*time.Second {
		t.Errorf("%d frames after %v", r[1].Frames, took)
	}
}

func TestDump(t *testing.T) {
	_, jobs := runJobs(t, strings.Fields("-f tx -i x{1 -n 2 -l 60 -X"),
		strings.Fields("-f rx -i x}1 -n 2 -X"))
	for _, j := range jobs {
		text := j.out.(*bytes.Buffer).String()
		if n := strings.Count(text, "ring 0 cur "); n != 2 ||
			!strings.Contains(text, " len    60]\n    0: ff ff ff ff ff ff 02 ") ||
			!strings.Contains(text, "\n   48: ") {
			t.Errorf("%s: %d slots in\n%s", j.Function, n, text)
		}
	}
}

func TestHistogram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	runAll(t, strings.Fields("-f pong -i x}1"),
		strings.Fields("-f ping -i x{1 -n 200 --histogram "+path))
	b, err := os.ReadFile(path)
	if text := string(b); err != nil || !strings.Contains(text, "Percentile") ||
		!strings.Contains(text, "Total count    =          200") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestUnusedFlagsAreNamed(t *testing.T) {
	_, errOut, err := runGen(t,
		strings.Fields("-f rx -i vale0:a -F 3 -s 10.0.0.1 --time 10ms -o 1")...)
	if err != nil ||
		!strings.Contains(errOut,
			"rx makes no use of -F.\nrx makes no use of -s.\n-o 1 and 2 change nothing") {
		t.Errorf("%v: %s", err, errOut)
	}
}
