package entry_test

import (
	"context"
	"testing"

	"github.com/taskscope/taskscope/internal/entry"
)

// A serving serves one request, until it is over.
type serving struct{ over bool }

func (s *serving) Request(context.Context) (entry.Request, bool) {
	return entry.Request{ID: "r-1", Logs: true}, !s.over
}

// came returns a func that returns ids.
func came(ids ...string) func() []string { return func() []string { return ids } }

func TestOuterOf(t *testing.T) {
	serves := &serving{}
	ctx := context.WithValue(t.Context(), entry.ServingKey{}, serves)
	none := entry.Outer{}
	outer := entry.OuterOf(ctx, came("r-1"), none)
	if !outer.Found() || outer.ID != "r-1" || !outer.Logs {
		t.Errorf("the entry around is %+v", outer)
	}
	for rule, found := range map[string]entry.Outer{
		"in no request":                 entry.OuterOf(t.Context(), came("r-1"), none),
		"of another request":            entry.OuterOf(ctx, came("r-2"), none),
		"without an id":                 entry.OuterOf(ctx, came(), none),
		"with two ids":                  entry.OuterOf(ctx, came("r-1", "r-1"), none),
		"called by what is served here": entry.OuterOf(ctx, came("r-1"), outer),
	} {
		if found.Found() || found.Logs {
			t.Errorf("%s: %+v", rule, found)
		}
	}
	serves.over = true
	if entry.OuterOf(ctx, came("r-1"), none).Found() {
		t.Error("a request that is over is found")
	}
}
