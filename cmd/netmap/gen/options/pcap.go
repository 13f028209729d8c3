package options

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/frames"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/internal/capfile"
)

// readFile reads the first frame of the file into Verbatim.
func (o *Frames) readFile() error {
	f, err := capfile.Open(o.File)
	if err != nil {
		return fmt.Errorf("-P: %w", err)
	}
	defer f.Close()
	data, err := o.firstFrame(f)
	if err == nil && (len(data) < frames.MinLen || len(data) > testframe.MaxLen) {
		err = fmt.Errorf("its first frame has %d bytes, not %d to %d", len(data), frames.MinLen,
			testframe.MaxLen)
	}
	if err != nil {
		return fmt.Errorf("-P %s: %w", o.File, err)
	}
	o.Verbatim, o.Lengths = bytes.Clone(data), frames.Lengths{Most: len(data)}
	return nil
}

// firstFrame returns the first Ethernet frame. Remarks name the packets that it skips and the bytes
// that it leaves out.
func (o *Frames) firstFrame(f *capfile.Reader) ([]byte, error) {
	for {
		p, err := f.Next()
		all, others := f.Packets()
		switch {
		case errors.Is(err, io.EOF):
			return nil, errors.New("there is no frame in it")
		case err != nil:
			return nil, err
		case !p.IsEthernet():
			continue
		}
		if others > 0 {
			o.Remarks = append(o.Remarks,
				fmt.Sprintf("-P takes packet %d of the file: %s of other link types skipped.",
					all, cli.Count(others, "packet")))
		}
		if p.Trimmed {
			o.Remarks = append(o.Remarks,
				"-P leaves out what the file has behind the frame: it was shorter.")
		}
		if p.FCS > 0 {
			o.Remarks = append(o.Remarks, "-P leaves out the frame check sequence that the frame had.")
		}
		if p.Length > len(p.Data) {
			o.Remarks = append(o.Remarks,
				fmt.Sprintf("-P sends the first %d of the frame's %d bytes: the file has no more.",
					len(p.Data), p.Length))
		}
		return p.Data, nil
	}
}
