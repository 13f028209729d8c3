package capture

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cuts decides where one file ends and the next begins.
type cuts struct {
	bytes uint64        // the most bytes of a file; 0 for no limit
	every time.Duration // the longest time of a file; 0 for no limit
	files int           // the most files; 0 for no limit

	size  uint64 // of the file so far
	head  uint64 // bytes of a file's header
	start time.Time
	count int // files begun
}

// begin records the start of the first file, which has a header of head bytes.
func (c *cuts) begin(now time.Time, head int) {
	c.start, c.head, c.size, c.count = now, uint64(head), uint64(head), 1
}

// due reports whether a record of that size starts a new file.
func (c *cuts) due(now time.Time, size int) bool {
	full := c.bytes > 0 && c.size > c.head && c.size+uint64(size) > c.bytes
	return full || c.every > 0 && now.Sub(c.start) >= c.every
}

// last reports whether this file is the last one allowed.
func (c *cuts) last() bool { return c.files > 0 && c.count >= c.files }

// next starts a file, and returns its nominal time. If files change by time, they start at
// multiples of the interval.
func (c *cuts) next(now time.Time) time.Time {
	if c.every > 0 {
		c.start = c.start.Add(now.Sub(c.start) / c.every * c.every)
	}
	c.size = c.head
	c.count++
	return c.start
}

// names makes the names of files.
type names struct {
	pattern string
	timed   bool // the pattern may contain a time
	ring    int  // number of files written in rotation; 0 for no rotation

	base string // of the previous file
	n    int    // files of that name
}

// next returns the name of a file that starts at that time.
func (n *names) next(start time.Time) string {
	base := n.pattern
	if n.timed {
		base, _ = strftime(n.pattern, start)
	}
	if base != n.base {
		n.base, n.n = base, 0
	}
	i := n.n
	n.n++
	switch {
	case n.ring > 0:
		return fmt.Sprintf("%s%0*d", base, len(strconv.Itoa(n.ring-1)), i%n.ring)
	case i > 0:
		return fmt.Sprintf("%s%d", base, i)
	}
	return base
}

// conversions are the conversions of strftime(3) that make sense in the name of a file.
var conversions = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04",
	'S': "05", 'p': "PM",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'j': "002", 'F': "2006-01-02",
	'T': "15:04:05", 'R': "15:04",
	'z': "-0700", 'Z': "MST",
}

// strftime replaces the conversions in the pattern by parts of the time.
func strftime(pattern string, t time.Time) (string, error) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			b.WriteByte(pattern[i])
			continue
		}
		if i++; i == len(pattern) {
			return "", fmt.Errorf("%q ends with %%: write %%%% for the character itself", pattern)
		}
		layout, ok := conversions[pattern[i]]
		switch c := pattern[i]; {
		case ok:
			b.WriteString(t.Format(layout))
		case c == 's':
			fmt.Fprint(&b, t.Unix())
		case c == '%':
			b.WriteByte('%')
		default:
			return "", fmt.Errorf("%q: %%%c is no conversion of strftime(3) that is known here", pattern, c)
		}
	}
	return b.String(), nil
}
