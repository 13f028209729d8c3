package embed_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
)

// As many ports can be opened as the configuration promises. A VALE port has two rings with
// buffers.
func TestAsManyPortsAsPromised(t *testing.T) {
	for _, c := range []embed.Config{{}, {Ports: 100, Rings: 200}, {Ports: 130}} {
		t.Run(fmt.Sprintf("%d ports, %d rings", c.Ports, c.Rings), func(t *testing.T) {
			c.BufSize = 256 // so that the test takes less memory
			f, err := embed.New(c)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			want := max(c.Ports, 100)
			ports := make([]*netmap.Port, want)
			for i := range ports {
				ports[i] = openPort(t, f, fmt.Sprintf("vale%d:p%d", i/50, i))
			}
			for i := 0; i < want; i += 2 {
				ports[i].Tx()[0].Send(everybody(fmt.Sprint("from ", i)))
				ports[i].TxSync()
				ports[i+1].RxSync()
				if got := texts(ports[i+1].Rx()[0]); len(got) == 0 ||
					got[len(got)-1] != fmt.Sprint("from ", i) {
					t.Fatalf("port %d received %q", i+1, got)
				}
			}
		})
	}
}

// An error for missing memory names the setting to increase.
func TestMemoryAdvice(t *testing.T) {
	for setting, c := range map[string]embed.Config{
		"--buffers": {Buffers: 3000}, "--rings": {Rings: 3, Buffers: 16384},
		"--ports": {Ports: 4, Rings: 100, Buffers: 65536},
	} {
		f, err := embed.New(c)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; err == nil && i < 20; i++ {
			_, err = f.Open(fmt.Sprint("vale0:p", i))
		}
		if !errors.Is(err, syscall.ENOMEM) || !strings.Contains(err.Error(), setting) {
			t.Errorf("%v, want advice about %s", err, setting)
		}
		f.Close()
	}
}
