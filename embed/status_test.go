package embed_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap/embed"
)

// A program can serve its framework's status, even after the framework is closed.
func TestHandler(t *testing.T) {
	f, err := embed.New(embed.Config{Buffers: 4096, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open("vale0:a"); err != nil {
		t.Fatal(err)
	}
	ask := func(path string, code int) string {
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != code {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, code)
		}
		return w.Body.String()
	}
	var s embed.Status
	if err := json.Unmarshal([]byte(ask("/v1/status", 200)), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Ports) != 1 || s.Ports[0].Name != "vale0:a" || len(s.Switches) != 1 ||
		s.PID != os.Getpid() || s.Program == "" || s.Device != "" || s.Started.IsZero() {
		t.Errorf("%+v", s)
	}
	if text := ask("/", 200); !strings.HasPrefix(text, s.Program+", process ") ||
		strings.Contains(text, "metrics") {
		t.Errorf("/ says %s", text)
	}
	ask("/metrics", 404)
	f.Close()
	if text := ask("/v1/status", 200); strings.Contains(text, "null") {
		t.Errorf("closed: %s", text)
	}
}
