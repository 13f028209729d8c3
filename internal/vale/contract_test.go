package vale

import (
	"testing"

	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
)

func TestPort(t *testing.T) {
	kringtest.TestPort(t, []uint32{2, 3, 8, 64}, func(t testing.TB, slots uint32) kringtest.Net {
		w := net{kringtest.NewRegion(t, 1024), NewSwitch("vale0"), nil}
		var p [2]*Port
		for i, name := range []string{"vale0:a", "vale0:b"} {
			var err error
			if p[i], err = w.newPort(name, 2, 1, slots); err != nil {
				t.Fatal(err)
			}
		}
		return kringtest.Net{Region: w.region, Port: p[0], From: p[1], To: p[1], Lossy: true}
	})
}
