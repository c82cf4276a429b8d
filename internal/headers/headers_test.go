package headers_test

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/internal/headers"
)

var (
	_ entry.Header = headers.Header(nil)
	_ entry.Header = (*headers.Copy)(nil)
)

// A key is found, replaced and removed in whatever case it is.
func TestKeysOfAnyCase(t *testing.T) {
	h := headers.Header{"x-id": {"3"}, "X-Id": {"1", "2"}, "Other": {"o"}}
	if got := h.Get("X-ID"); got != "1,2,3" {
		t.Errorf("the values are %s", got)
	}
	for range 100 { // a map has no order
		if got := (headers.Header{"x-id": {"3"}, "X-ID": {"1"}, "x-ID": {"2"}}).Get("X-Id"); got != "1,2,3" {
			t.Fatalf("the values are %s", got)
		}
	}
	h.Set("x-ID", "4")
	if want := (headers.Header{"X-Id": {"4"}, "Other": {"o"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("set: %v", h)
	}
	h.Set("x-id", "")
	if want := (headers.Header{"Other": {"o"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("removed: %v", h)
	}
}

// Reading the values of a key leaves them room for no others.
func TestValuesAreNotShared(t *testing.T) {
	own := make([]string, 1, 4)
	h := headers.Header{"X-Id": own, "x-id": {"2"}}
	if h.Values("X-Id"); own[:2][1] != "" {
		t.Error("Values writes behind the header's own")
	}
}

func TestACopyIsMadeByTheFirstSet(t *testing.T) {
	of := http.Header{"X-Id": {"1"}}
	c := &headers.Copy{Header: headers.Header(of)}
	if c.Get("x-id") != "1" || c.Changed() != nil {
		t.Error("there is a copy before it is needed")
	}
	c.Set("X-Id", "2")
	c.Set("More", "3")
	if of.Get("X-Id") != "1" || len(of) != 1 || c.Get("X-Id") != "2" || c.Changed().Get("More") != "3" {
		t.Errorf("the header is %v, the copy %v", of, c.Changed())
	}
	none := &headers.Copy{}
	if none.Set("A", "1"); none.Changed().Get("A") != "1" {
		t.Error("a nil header has no copy")
	}
}
