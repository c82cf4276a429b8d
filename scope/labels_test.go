package scope_test

import (
	"context"
	"log/slog"
	"runtime/pprof"
	"testing"

	"github.com/taskscope/taskscope/scope"
)

// A setter is a value whose method uses the scope that it is in.
type setter struct{ saw *any }

func (s setter) LogValue() slog.Value {
	scope.Set("label_setter_inside", 1)
	*s.saw, _ = scope.Get("label_setter_plain")
	return slog.StringValue("text")
}

// The text of a label is asked for inside Set, and so must not lead there again without end.
func TestTheMethodOfAProfiledValueMaySetFields(t *testing.T) {
	key := scope.NewKey[any]("label_setter", scope.Profiled)
	scope.New("label_setter_plain", "p").Run(func() {
		var saw any
		key.Set(setter{&saw})
		if saw != "p" {
			t.Errorf("the method saw %v of the scope that it is in", saw)
		}
		if _, ok := scope.Get("label_setter_inside"); ok {
			t.Error("what the method set has outlived it")
		}
		if v, ok := key.Get(); !ok || v != any(setter{&saw}) {
			t.Errorf("Get gives %v", v)
		}
		if scope.Carrier() == "portable" {
			return // no labels
		}
		labelsNow(t, "label_setter:text")
	})
}

// A binder is a value whose method loses the goroutine's scope, and binds the value anew.
type binder struct{ asked *int }

func (b binder) String() string {
	*b.asked++
	pprof.Do(context.Background(), pprof.Labels("a", "b"), func(context.Context) {
		scope.New("label_binder", b).Run(func() {})
	})
	return "text"
}

func TestTheMethodOfAProfiledValueThatBindsItAnewEnds(t *testing.T) {
	scope.NewKey[any]("label_binder", scope.Profiled)
	asked := 0
	scope.New("label_binder", binder{&asked}).Run(func() {
		if scope.Carrier() != "portable" {
			labelsNow(t, "label_binder:text")
		}
	})
	if asked > 10_000 {
		t.Errorf("asked %d times", asked)
	}
}
