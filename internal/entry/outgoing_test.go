package entry_test

import (
	"net/http"
	"testing"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/headers"
	"github.com/taskscope/taskscope/scope"
)

// What the program's ValidID sets doesn't stay on the goroutine of whoever makes the call.
func TestWhatValidIDSetsIsGone(t *testing.T) {
	asked := 0
	out := &entry.Outgoing{RequestID: "request_id", ValidID: func(id string) bool { asked++; scope.Set("seen", id); return true }}
	scope.New("request_id", "r-1").Run(func() {
		h := http.Header{"X-Request-Id": {"another"}}
		if out.Send(scope.Current(), headers.Header(h)); asked != 2 || h.Get("X-Request-Id") != "another" || scope.Current().Has("seen") {
			t.Errorf("asked %d times, %v, %s", asked, h, scope.Current())
		}
	})
}

func TestWithoutAValidID(t *testing.T) {
	out := &entry.Outgoing{RequestID: "request_id"}
	for id, want := range map[string]string{"r-1": "r-1", "r 1": ""} {
		h := http.Header{}
		if out.Send(scope.New("request_id", id), headers.Header(h)); h.Get("X-Request-Id") != want {
			t.Errorf("%q: %v", id, h)
		}
	}
}
