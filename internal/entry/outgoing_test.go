package entry_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
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

// A sending id makes a call itself when it is asked for its text.
type sending func()

func (v sending) String() string { v(); return "r-1" }

// What an id's own method sends has no id: it would be called again, without an end.
func TestAnIDThatSends(t *testing.T) {
	out := &entry.Outgoing{RequestID: "request_id"}
	outer, inner, asked := http.Header{}, http.Header{}, 0
	v := sending(func() {
		if asked++; asked > 100 {
			panic("it is asked without an end")
		}
		out.Send(scope.Current(), headers.Header(inner))
	})
	scope.New("request_id", struct{ fmt.Stringer }{v}).Run(func() { out.Send(scope.Current(), headers.Header(outer)) })
	if outer.Get("X-Request-Id") != "r-1" || len(inner) > 0 {
		t.Errorf("sent %v, and by its method %v", outer, inner)
	}
}

// What came in and isn't trusted is dropped, also where other code has written it anew. What the program
// has set stays.
func TestUntrustedBaggageThatWasWrittenAnew(t *testing.T) {
	ctx := context.WithValue(t.Context(), entry.UntrustedKey{}, entry.Untrusted("tenant=%65vil, plan = a b ;p=q,bad=%zz,raw=%FF%FF,x=1"))
	for had, want := range map[string]string{
		"tenant=evil,mine=1":               "mine=1",
		"tenant=%65vil":                    "",
		" tenant = evil ;ttl=5 , mine=1 ":  "mine=1",
		"plan=a%20b":                       "",
		"bad=%zz":                          "",
		"raw=%EF%BF%BD%EF%BF%BD":           "",
		"tenant=acme,Tenant=evil,x=2,=,,y": "tenant=acme,Tenant=evil,x=2,y",
	} {
		h := http.Header{"Baggage": {had}}
		if entry.DropUntrusted(ctx, headers.Header(h)); h.Get("Baggage") != want {
			t.Errorf("%q becomes %q, want %q", had, h["Baggage"], want)
		}
	}
	long := context.WithValue(t.Context(), entry.UntrustedKey{}, entry.Untrusted(strings.Repeat("x", 8193)))
	h := http.Header{"Baggage": {"mine=1"}}
	if entry.DropUntrusted(long, headers.Header(h)); h.Get("Baggage") != "" {
		t.Errorf("behind what is too long to know is sent %v", h)
	}
}
