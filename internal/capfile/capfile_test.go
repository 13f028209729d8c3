package capfile

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// file is a complete file: frames of all lengths up to 100, each half as long again on the wire.
func file(f Format) []byte {
	b := f.AppendHeader(nil, Interface{Name: "netmap:eth0", Filter: "tcp", Program: "test",
		Snap: 1000})
	for n := range 100 {
		b = f.AppendRecord(b, stamp(n), bytes.Repeat([]byte{byte(n)}, n), n*3/2)
	}
	return f.AppendTrailer(b, Stats{Start: time.Unix(1, 2), End: time.Unix(3, 4), Received: 10,
		Accepted: 9, Captured: 8, Dropped: 7})
}

// stamp is a time that needs more than 32 bits in either half.
func stamp(n int) int64 { return 1_800_000_000_123_456_789 + int64(n)*3_999_999_999 }

func wantFrames(t *testing.T, r gopacket.PacketDataSource) {
	t.Helper()
	for n := range 100 {
		data, info, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(data, bytes.Repeat([]byte{byte(n)}, n)) || info.Length != n*3/2 ||
			info.Timestamp.UnixNano() != stamp(n) {
			t.Fatalf("frame %d: %x, %+v, %v", n, data, info, err)
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestPcapng(t *testing.T) {
	var stats pcapgo.NgInterfaceStatistics
	o := pcapgo.DefaultNgReaderOptions
	o.StatisticsCallback = func(_ int, s pcapgo.NgInterfaceStatistics) { stats = s }
	r, err := pcapgo.NewNgReader(bytes.NewReader(file(Pcapng)), o)
	if err != nil {
		t.Fatal(err)
	}
	wantFrames(t, r)
	i, err := r.Interface(0)
	if err != nil || i.Name != "netmap:eth0" || i.Filter != "tcp" || i.SnapLength != 1000 ||
		i.LinkType != layers.LinkTypeEthernet || i.TimestampResolution != 9 {
		t.Errorf("interface %+v, %v", i, err)
	}
	if s := r.SectionInfo(); s.Application != "test" {
		t.Errorf("section %+v", s)
	}
	if !stats.StartTime.Equal(time.Unix(1, 2)) || !stats.EndTime.Equal(time.Unix(3, 4)) ||
		stats.PacketsReceived != 10 || stats.PacketsDropped != 7 {
		t.Errorf("statistics %+v", stats)
	}
}

func TestPcap(t *testing.T) {
	r, err := pcapgo.NewReader(bytes.NewReader(file(Pcap)))
	if err != nil {
		t.Fatal(err)
	}
	wantFrames(t, r)
	if r.Snaplen() != 1000 || r.LinkType() != layers.LinkTypeEthernet {
		t.Errorf("%v", r)
	}
}

// Readers take frames without an Ethernet header for IP packets.
func TestBare(t *testing.T) {
	bare := Interface{Snap: 1000, Bare: true}
	p, err := pcapgo.NewReader(bytes.NewReader(Pcap.AppendHeader(nil, bare)))
	if err != nil || p.LinkType() != layers.LinkTypeRaw {
		t.Errorf("pcap: %v, %v", p, err)
	}
	ng, err := pcapgo.NewNgReader(bytes.NewReader(Pcapng.AppendHeader(nil, bare)),
		pcapgo.DefaultNgReaderOptions)
	if err != nil || ng.LinkType() != layers.LinkTypeRaw {
		t.Errorf("pcapng: %v, %v", ng, err)
	}
}

func TestRecordSize(t *testing.T) {
	for _, f := range []Format{Pcapng, Pcap} {
		for n := range 100 {
			if got := len(f.AppendRecord(nil, 0, make([]byte, n), n)); got != f.RecordSize(n) {
				t.Errorf("format %d: a frame of %d bytes takes %d, not %d", f, n, got, f.RecordSize(n))
			}
		}
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	b, frame := make([]byte, 0, 4096), make([]byte, 60)
	for _, f := range []Format{Pcapng, Pcap} {
		if n := testing.AllocsPerRun(100, func() { f.AppendRecord(b, 1, frame, 60) }); n != 0 {
			t.Errorf("format %d: %v allocations a frame", f, n)
		}
	}
}
