package gen

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/seed-48afdc40/netmap/internal/capfile"
	"github.com/seed-48afdc40/netmap/internal/frame"
)

// readFile reads the first packet of the file.
func (o *frames) readFile() error {
	f, err := capfile.Open(o.file)
	if err != nil {
		return fmt.Errorf("-P: %w", err)
	}
	defer f.Close()
	data, _, err := f.ZeroCopyReadPacketData()
	if errors.Is(err, io.EOF) {
		err = errors.New("there is no packet in it")
	}
	if err == nil && (len(data) < minLen || len(data) > frame.MaxLen) {
		err = fmt.Errorf("its first packet has %d bytes, not %d to %d", len(data), minLen, frame.MaxLen)
	}
	if err != nil {
		return fmt.Errorf("-P %s: %w", o.file, err)
	}
	o.verbatim, o.lengths = bytes.Clone(data), lengths{most: len(data)}
	return nil
}
