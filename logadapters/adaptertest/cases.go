package adaptertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

var cases = []Case{
	{
		Name:        "bound",
		Rule:        "a line is stamped with the fields of the scope that is bound to the goroutine",
		Explanation: "it is what an adapter is for",
		check: func(t *trial) {
			fields := list("request_id", "r1", "user", 7)
			bind(fields).Run(func() { t.same(nil, fields, hello) })
		},
	},
	{
		Name:        "unbound",
		Rule:        "with no scope bound, or an empty one, a line is as it would be without the adapter",
		Explanation: "most programs install the adapter once, for all of their lines",
		check: func(t *trial) {
			t.same(nil, nil, hello)
			bind(nil).Run(func() { t.same(nil, nil, hello) })
			var out lines
			l := t.New(&out, nil)
			bind(list("request_id", "r1")).Run(func() { hello(l) })
			out.take()
			hello(l)
			t.equal(out.take(), t.attached(nil, hello))
			if t.Lacks&Groups == 0 {
				t.same(nil, nil, func(l Logger) { hello(l.With(Field{"a", 1}).Group("http").With(Field{"b", 2})) })
			}
		},
	},
	{
		Name:        "order",
		Rule:        "fields come in the order in which their keys were first set",
		Explanation: "readers of a log, and golden files, rely on a fixed order",
		check: func(t *trial) {
			var fields []Field
			for i := range 20 {
				fields = append(fields, Field{fmt.Sprintf("k%d", i*7%20), i})
			}
			bind(fields).Run(func() {
				scope.Set("k0", "again")
				fields[0].Value = "again"
				t.same(nil, fields, hello)
			})
		},
	},
	{
		Name:        "types",
		Rule:        "a value is written as the logger writes a value of that type",
		Explanation: "an int that becomes a string, or a duration that changes its unit, breaks queries",
		check: func(t *trial) {
			for _, v := range []any{
				"text", "", "\x00\"\\\u2028<&>\xff", true, 1, int8(-8), int16(-16), int32(-32), int64(math.MinInt64),
				uint(1), uint8(8), uint16(16), uint32(32), uint64(math.MaxUint64),
				float32(0.1), 0.1, 1e300, math.Inf(1), math.Inf(-1), math.NaN(),
				time.Duration(1500) * time.Millisecond, time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600)),
				errors.New("boom"), []byte("bytes"), []string{"a", "b"}, []int{1, 2}, map[string]any{"b": 1, "a": nil},
				struct {
					A int `json:"a"`
				}{1},
				nil, (*int)(nil), marshaler{}, textMarshaler{}, stringer{}, slog.LevelWarn,
				Group{{"a", 1}, {"b", Group{{"c", "d"}}}, {"", Group{{"e", true}}}},
			} {
				fields := list("before", 1, "value", v, "after", 2)
				bind(fields).Run(func() { t.same(nil, fields, hello) })
			}
		},
	},
	{
		Name:        "attributes",
		Rule:        "a field that was set as a slog.Attr is stamped like any other",
		Explanation: "scope.SetAttrs exists to save an allocation, not to change the line",
		check: func(t *trial) {
			scope.SetAttrs(slog.Int("a", 1), slog.String("b", "x"), slog.Duration("c", time.Second), slog.Group("d", slog.Bool("e", true)))
			t.same(nil, list("a", int64(1), "b", "x", "c", time.Second, "d", Group{{"e", true}}), hello)
		},
	},
	{
		Name:        "nothing to show",
		Rule:        "the zero slog.Attr and groups with nothing to show are not written, members of a group without a key lie where it stands",
		Explanation: "slog does it like that, and scope.New takes what slog takes",
		check: func(t *trial) {
			empty := valuer(func() slog.Value { return slog.GroupValue() })
			scope.New("a", 1, slog.Attr{}, slog.Group("", slog.Int("b", 2)), slog.Group("empty"), "none", empty,
				slog.Group("g", slog.Attr{}, slog.Group("", slog.Int("c", 3)), slog.Group("e", slog.Group("f")))).Run(func() {
				t.same(nil, list("a", 1, "b", int64(2), "g", Group{{"c", int64(3)}}), hello)
			})
			scope.New(slog.Attr{}, slog.Group("empty"), "none", empty).Run(func() { t.same(nil, nil, hello) })
		},
	},
	{
		Name:        "nil options",
		Rule:        "nil options and zero options are the defaults",
		Explanation: "the simplest call, New(x, nil), must be the right one",
		check: func(t *trial) {
			fields := list("a", 1)
			bind(fields).Run(func() {
				t.same(nil, fields, hello)
				t.same(&logadapters.Options{}, fields, hello)
			})
		},
	},
	{
		Name:        "set between lines",
		Rule:        "a line shows the scope that is bound when it is written",
		Explanation: "what an adapter remembers belongs to a scope, and Set, Delete and Clear bind another one",
		check: func(t *trial) {
			var out lines
			l := t.New(&out, nil)
			expect := func(fields ...Field) {
				// Twice: the second time it may be remembered.
				for range 2 {
					hello(l)
					t.equal(out.take(), t.attached(fields, hello))
				}
			}
			scope.Set("a", 1)
			expect(list("a", 1)...)
			scope.Set("b", 2)
			expect(list("a", 1, "b", 2)...)
			scope.Set("a", 3)
			expect(list("a", 3, "b", 2)...)
			scope.Delete("a")
			expect(list("b", 2)...)
			scope.Clear()
			expect()
		},
	},
	{
		Name:        "alternating scopes",
		Rule:        "a logger keeps apart what it remembers for each scope",
		Explanation: "one logger serves all requests of a process",
		check: func(t *trial) {
			var out lines
			l := t.New(&out, nil)
			one, two := list("id", "one", "only_one", true), list("id", "two")
			a, b := bind(one), bind(two)
			for range 3 {
				a.Run(func() {
					hello(l)
					t.equal(out.take(), t.attached(one, hello))
					b.Run(func() {
						hello(l)
						t.equal(out.take(), t.attached(two, hello))
					})
					hello(l)
					t.equal(out.take(), t.attached(one, hello))
				})
			}
		},
	},
	{
		Name:        "two loggers",
		Rule:        "loggers that log under one scope don't get in each other's way",
		Explanation: "what is remembered with a scope is remembered per logger",
		check: func(t *trial) {
			var out1, out2 lines
			l1, l2 := t.New(&out1, nil), t.New(&out2, &logadapters.Options{Filter: upper})
			fields := list("a", 1)
			bind(fields).Run(func() {
				for range 3 {
					hello(l1)
					hello(l2)
					t.equal(out1.take(), t.attached(fields, hello))
					t.equal(out2.take(), t.attached(list("A", 1), hello))
				}
			})
		},
	},
	{
		Name:        "many loggers",
		Rule:        "any number of short-lived loggers may log under one scope",
		Explanation: "code that makes a child logger per call runs under the scope of a whole process",
		check: func(t *trial) {
			var out lines
			parent := t.New(&out, nil)
			fields := list("a", 1)
			bind(fields).Run(func() {
				for i := range 200 {
					for range 2 {
						write := func(l Logger) { hello(l.With(Field{"child", i})) }
						write(parent)
						t.equal(out.take(), t.attached(fields, write))
					}
				}
			})
		},
	},
	{
		Name:        "children",
		Rule:        "a child logger keeps its own fields and is stamped, whenever it was made",
		Explanation: "loggers are made in one place and used in another, under another scope",
		check: func(t *trial) {
			var out lines
			l := t.New(&out, nil)
			fields := list("a", 1)
			child := func(l Logger) Logger { return l.With(Field{"x", "y"}, Field{"n", 1}).With(Field{"z", 2}) }
			write := func(l Logger) { hello(child(l)) }

			before := child(l)
			var within Logger
			bind(fields).Run(func() {
				hello(before)
				t.equal(out.take(), t.attached(fields, write))
				within = child(l)
				hello(within)
				t.equal(out.take(), t.attached(fields, write))
				hello(l) // the parent is as it was
				t.equal(out.take(), t.attached(fields, hello))
			})
			hello(within)
			t.equal(out.take(), t.attached(nil, write))
			bind(list("b", 2)).Run(func() { hello(within) })
			t.equal(out.take(), t.attached(list("b", 2), write))
		},
	},
	{
		Name:        "attached once",
		Rule:        "what is attached to a logger is taken when With is called, and once, however many scopes follow",
		Explanation: "the program may use the buffer again, or change the map, and a value's method may be slow",
		check: func(t *trial) {
			t.attachedOnce(func(l Logger) Logger { return l })
		},
	},
	{
		Name:        "attached once, in a group",
		Rule:        "the same holds inside a group, for byte slices and for values that slog asks by a method",
		Explanation: "an adapter has to attach them anew behind each scope's fields, and that must not show",
		Needs:       Groups,
		check: func(t *trial) {
			t.attachedOnce(func(l Logger) Logger { return l.Group("http") })
			t.attachedOnce(func(l Logger) Logger { return l.With(Field{"a", 1}).Group("http").Group("tls") })
		},
	},
	{
		Name:        "two adapters",
		Rule:        "an adapter over an adapter stamps once",
		Explanation: "a library and its program may both install one",
		check: func(t *trial) {
			if t.Twice == nil {
				return
			}
			fields := list("a", 1, "b", Group{{"c", "d"}}, "e", errors.New("boom"))
			writes := []func(Logger){hello, func(l Logger) { hello(l.With(Field{"x", 1})) }}
			if t.Lacks&EventKeys == 0 {
				writes = append(writes, func(l Logger) { l.Log(background, "hello", Field{"other", 2}) })
			}
			if t.Lacks&Groups == 0 {
				writes = append(writes, func(l Logger) { l.Group("http").With(Field{"x", 1}).Log(background, "hello", Field{"y", 2}) })
			}
			bind(fields).Run(func() {
				for _, write := range writes {
					var out lines
					write(t.Twice(&out))
					t.equal(out.take(), t.attached(fields, write))
				}
			})
		},
	},
	{
		Name:        "root",
		Rule:        "scope fields lie at the root of the line, whatever groups the logger has open",
		Explanation: "a request_id that a library's WithGroup has moved to http.request_id is found by no query",
		Needs:       Groups,
		check: func(t *trial) {
			fields := list("request_id", "r1", "user", 7)
			bind(fields).Run(func() {
				t.same(nil, fields, func(l Logger) { hello(l.Group("http")) })
				t.same(nil, fields, func(l Logger) { hello(l.Group("http").With(Field{"a", 1}).Group("tls")) })
				t.same(nil, fields, func(l Logger) { hello(l.With(Field{"a", 1}).Group("http").Group("tls").With(Field{"b", 2})) })
			})
		},
	},
	{
		Name:        "event wins",
		Rule:        "a scope field whose key the line has is left out",
		Explanation: "most readers of JSON take the last of two equal keys, or none; what the line says itself is more specific",
		Needs:       EventKeys,
		check: func(t *trial) {
			bind(list("a", 1, "user", "scope", "b", 2)).Run(func() {
				t.same(nil, list("a", 1, "b", 2), func(l Logger) { l.Log(background, "hello", Field{"user", "event"}) })
				t.same(nil, nil, func(l Logger) { l.Log(background, "hello", list("a", 1, "b", 2, "user", 3)...) })
				t.same(nil, list("a", 1, "b", 2), func(l Logger) { l.Log(background, "hello", Field{"", Group{{"user", "inlined"}}}) })
				// Nothing of it stays for the next line.
				t.same(nil, list("a", 1, "user", "scope", "b", 2), hello)
			})
		},
	},
	{
		Name:        "event wins, later",
		Rule:        "the other fields are as they were set, including those that the scope had on an earlier line",
		Explanation: "slog turns a float32 into a float64 with other digits, and the scope may have grown in between",
		Needs:       EventKeys,
		check: func(t *trial) {
			var out lines
			l := t.New(&out, nil)
			fields := list("single", float32(0.1), "user", "scope")
			bind(fields).Run(func() {
				for _, f := range list("another", float32(0.2), "n", 1, "third", float32(0.3)) {
					hello(l)
					scope.Set(f.Key, f.Value)
					fields = append(fields, f)
				}
				out.take()
				write := func(l Logger) { l.Log(background, "hello", Field{"user", "event"}) }
				write(l)
				t.equal(out.take(), t.attached(append(fields[:1:1], fields[2:]...), write))
				hello(l)
				t.equal(out.take(), t.attached(fields, hello))
			})
		},
	},
	{
		Name:        "event wins, attached",
		Rule:        "a scope field whose key was attached to the logger is left out",
		Explanation: "what was attached by hand is the line's own as well",
		Needs:       EventKeys,
		check: func(t *trial) {
			bind(list("a", 1, "user", "scope", "b", 2)).Run(func() {
				t.same(nil, list("a", 1, "b", 2), func(l Logger) { hello(l.With(Field{"user", "logger"})) })
				t.same(nil, list("a", 1), func(l Logger) { hello(l.With(Field{"user", "logger"}).With(Field{"b", "logger"})) })
			})
		},
	},
	{
		Name:        "event wins, group",
		Rule:        "a scope field with the name of a group that is on the line is left out, even with ScopeWins",
		Explanation: "the group is a key at the root as well, and what it holds has no other place to go",
		Needs:       EventKeys | Groups,
		check: func(t *trial) {
			bind(list("a", 1, "http", "scope")).Run(func() {
				for _, opts := range []*logadapters.Options{nil, {Duplicates: logadapters.ScopeWins}} {
					t.same(opts, list("a", 1), func(l Logger) { l.Group("http").Log(background, "hello", Field{"x", 1}) })
					t.same(opts, list("a", 1), func(l Logger) { hello(l.Group("http").With(Field{"x", 1}).Group("tls")) })
				}
			})
		},
	},
	{
		Name:        "event shows nothing",
		Rule:        "a field of the line that shows nothing doesn't push the scope's off the line",
		Explanation: "a slog.LogValuer that has nothing to say answers with an empty group, and slog writes no key for it",
		Needs:       EventKeys,
		check: func(t *trial) {
			if !t.Slog {
				return
			}
			fields := list("user", "scope")
			none := valuer(func() slog.Value { return slog.GroupValue() })
			bind(fields).Run(func() {
				t.same(nil, fields, func(l Logger) { l.Log(background, "hello", Field{"user", none}) })
				t.same(nil, fields, func(l Logger) { l.Log(background, "hello", Field{"user", Group{}}) })
				t.same(nil, fields, func(l Logger) { l.Log(background, "hello", Field{"", none}, Field{"x", 1}) })
				t.same(nil, fields, func(l Logger) { hello(l.With(Field{"user", Group{}})) })
			})
		},
	},
	{
		Name:        "inside a group",
		Rule:        "a field inside a group that the logger has open doesn't replace the scope's at the root",
		Explanation: "http.status and status are two keys",
		Needs:       EventKeys | Groups,
		check: func(t *trial) {
			fields := list("status", "scope", "n", 1)
			write := func(l Logger) {
				l = l.Group("http").With(Field{"status", "logger"})
				l.Log(background, "hello", Field{"n", "event"})
				l.Group("tls").Log(background, "hello", Field{"n", "event"})
			}
			bind(fields).Run(func() {
				t.same(nil, fields, write)
				t.same(&logadapters.Options{Duplicates: logadapters.ScopeWins}, fields, write)
			})
		},
	},
	{
		Name:        "own keys",
		Rule:        "a scope field with a key that the logger writes itself is left out",
		Explanation: "a line has one level and one message, and they are the line's",
		check: func(t *trial) {
			var fields []Field
			for _, key := range t.Own {
				fields = append(fields, Field{key, "scope"})
			}
			bind(append(fields, Field{"a", 1})).Run(func() {
				t.same(nil, list("a", 1), hello)
				t.same(&logadapters.Options{Duplicates: logadapters.ScopeWins}, list("a", 1), hello)
			})
		},
	},
	{
		Name:        "scope wins",
		Rule:        "with ScopeWins the line's own field is left out where the scope has its key",
		Explanation: "some want to see the entry's request_id, whatever libraries log",
		Needs:       EventKeys,
		check: func(t *trial) {
			fields := list("a", 1, "user", "scope")
			opts := &logadapters.Options{Duplicates: logadapters.ScopeWins}
			bind(fields).Run(func() {
				t.equal(
					t.stamped(opts, func(l Logger) { l.Log(background, "hello", list("x", 1, "user", "event", "y", 2)...) }),
					t.attached(fields, func(l Logger) { l.Log(background, "hello", list("x", 1, "y", 2)...) }))
			})
		},
	},
	{
		Name:        "scope wins, attached",
		Rule:        "a field attached to the logger stays, even with ScopeWins, and the scope's field with that key is left out",
		Explanation: "it was encoded when it was attached, once, and can't be taken back",
		Needs:       EventKeys,
		check: func(t *trial) {
			opts := &logadapters.Options{Duplicates: logadapters.ScopeWins}
			bind(list("a", 1, "user", "scope", "b", 2)).Run(func() {
				t.same(opts, list("b", 2), func(l Logger) { hello(l.With(list("x", 1, "user", "logger")...).With(Field{"a", 2})) })
			})
		},
	},
	{
		Name:        "keep both",
		Rule:        "with KeepBoth nothing is left out",
		Explanation: "it is for handlers behind the adapter that deal with duplicates themselves",
		check: func(t *trial) {
			fields := list("a", 1, "user", "scope")
			for _, key := range t.Own {
				fields = append(fields, Field{key, "scope"})
			}
			bind(fields).Run(func() {
				t.same(&logadapters.Options{Duplicates: logadapters.KeepBoth}, fields, func(l Logger) {
					l.With(Field{"user", "logger"}).Log(background, "hello", list("user", "event", "a", 2)...)
				})
			})
		},
	},
	{
		Name:        "no key twice",
		Rule:        "by default no object of a line has a key twice",
		Explanation: "many stores refuse such a line, or lose one of the two silently",
		Needs:       EventKeys,
		check: func(t *trial) {
			fields := list("a", 1, "b", Group{{"a", 1}}, "c", 3, "msg", 4, "message", 5, "level", 6, "time", 7, "scope_ended", 8)
			for _, key := range t.Own {
				fields = append(fields, Field{key, "scope"})
			}
			writes := []func(Logger){
				hello,
				func(l Logger) { l.Log(background, "hello", list("a", 1, "b", 2, "c", 3)...) },
				func(l Logger) { l.With(list("a", 1, "b", 2)...).Log(background, "hello", Field{"c", 3}) },
			}
			if t.Lacks&Groups == 0 {
				writes = append(writes,
					func(l Logger) { l.Group("a").Log(background, "hello", list("a", 1, "b", 2)...) },
					func(l Logger) {
						l.With(Field{"b", 1}).Group("a").With(Field{"a", 1}).Group("b").Log(background, "hello", Field{"a", 2})
					})
			}
			for _, opts := range []*logadapters.Options{
				nil,
				{Duplicates: logadapters.ScopeWins},
				{Group: "a"},
				{MaxFields: 3},
				{Filter: func(a slog.Attr) (slog.Attr, bool) { return slog.Attr{Key: "a", Value: a.Value}, true }},
			} {
				bind(fields).Run(func() {
					for _, write := range writes {
						t.object(t.stamped(opts, write))
					}
				})
			}
		},
	},
	{
		Name:        "group option",
		Rule:        "with Options.Group all scope fields lie in one object of that name at the root",
		Explanation: "some schemas want all fields that they don't define in one place",
		check: func(t *trial) {
			opts := &logadapters.Options{Group: "task"}
			inside := list("task", Group{{"a", "x"}, {"b", true}})
			bind(list("a", "x", "b", true)).Run(func() {
				t.same(opts, inside, hello)
				t.same(opts, inside, func(l Logger) { l.Log(background, "hello", Field{"other", 1}) })
				if t.Lacks&Groups == 0 {
					t.same(opts, inside, func(l Logger) { hello(l.Group("http").With(Field{"x", 1})) })
				}
				if t.Lacks&EventKeys == 0 {
					// A field in the object is no duplicate of one outside.
					t.same(opts, inside, func(l Logger) { l.Log(background, "hello", Field{"a", 1}) })
					t.same(opts, nil, func(l Logger) { l.Log(background, "hello", Field{"task", 1}) })
				}
			})
			bind(nil).Run(func() { t.same(opts, nil, hello) })
		},
	},
	{
		Name:        "filter",
		Rule:        "Options.Filter renames, changes and drops fields",
		Explanation: "a program's names for its fields aren't always those of its log store",
		check: func(t *trial) {
			opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
				switch a.Key {
				case "rename":
					a.Key = "renamed"
				case "change":
					a.Value = slog.StringValue(a.Value.String() + "!")
				case "answer":
					a.Value = slog.AnyValue(valuer(func() slog.Value { return slog.StringValue("resolved") }))
				case "inline":
					a = slog.Attr{Value: slog.GroupValue(slog.String("one", "1"), slog.String("two", "2"))}
				}
				return a, a.Key != "drop"
			}}
			bind(list("a", 1, "rename", "r", "drop", "d", "change", "c", "answer", 0, "inline", 0, "z", 26)).Run(func() {
				t.same(opts, list("a", 1, "renamed", "r", "change", "c!", "answer", "resolved", "one", "1", "two", "2", "z", 26), hello)
			})
		},
	},
	{
		Name:        "filter to a taken key",
		Rule:        "a field to which Options.Filter gives the key of another one takes that one's place",
		Explanation: "two fields with the same key are one field, and the later one counts",
		check: func(t *trial) {
			opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
				if strings.HasPrefix(a.Key, "b") {
					a.Key = "a"
				}
				return a, true
			}}
			bind(list("a", float32(0.1), "b", "text", "c", 1)).Run(func() {
				t.same(opts, list("a", "text", "c", 1), hello)
			})
			bind(list("a", float32(0.1), "b", 0.2, "c", 1)).Run(func() {
				t.same(opts, list("a", 0.2, "c", 1), hello)
			})
		},
	},
	{
		Name:        "filter sees",
		Rule:        "Options.Filter is shown what would be logged: values resolved, nothing hidden",
		Explanation: "a filter that redacts by value must see the value, and no filter should be able to let out a secret",
		check: func(t *trial) {
			var mu sync.Mutex
			var seen []string
			opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, fmt.Sprintf("%s %s %s", a.Key, a.Value.Kind(), a.Value))
				return a, true
			}}
			declareKeys()
			bind(list("a", valuer(func() slog.Value { return slog.StringValue("resolved") }), hiddenKey, "secret", redactedKey, "secret")).Run(func() {
				t.stamped(opts, hello)
			})
			want := []string{"a String resolved", redactedKey + " String " + scope.RedactedText}
			if len(seen) == 0 {
				t.errorf("the filter was shown nothing")
			}
			for i, s := range seen { // it may be asked more than once
				if s != want[i%len(want)] {
					t.errorf("the filter was shown %q, and not %q", seen, want)
				}
			}
		},
	},
	{
		Name:        "filter panics",
		Rule:        "if Options.Filter panics, the field says so, and the line is written",
		Explanation: "a logger must not end the program, nor lose a line, least of all when something is wrong",
		check: func(t *trial) {
			opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
				if a.Key == "bad" {
					panic("boom")
				}
				return a, true
			}}
			bind(list("a", "x", "bad", "y", "z", "w")).Run(func() {
				t.costsOnlyItself(opts, "!PANIC: boom")
			})
		},
	},
	{
		Name:        "filter changes in place",
		Rule:        "Options.Filter may change what it is given, even the members of a group, and the scope stays as it is",
		Explanation: "a card number that is masked for the log must not be masked for the payment",
		check: func(t *trial) {
			opts := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
				if a.Value.Kind() == slog.KindGroup {
					a.Value.Group()[0].Value = slog.StringValue("*")
					a.Value.Group()[1].Value.Group()[0].Value = slog.StringValue("*")
				}
				return a, true
			}}
			fields := list("pay", Group{{"card", "4111"}, {"more", Group{{"pin", "1234"}}}})
			bind(fields).Run(func() {
				t.same(opts, list("pay", Group{{"card", "*"}, {"more", Group{{"pin", "*"}}}}), hello)
				if v, _ := scope.Get("pay"); slog.AnyValue(v).String() != "[card=4111 more=[pin=1234]]" {
					t.errorf("the scope has %v", v)
				}
				t.same(nil, fields, hello)
			})
		},
	},
	{
		Name:        "fields stay",
		Rule:        "a line leaves the fields that it gets as they are",
		Explanation: "they may be the scope's own: the next logger, and the program, would read the changed ones",
		check: func(t *trial) {
			fields := list("a", "x", "n", slog.IntValue(2), "b", true)
			s := bind(fields)
			s.Run(func() {
				t.same(nil, fields, hello)
				t.same(nil, fields, hello) // another logger
			})
			if got, want := s.String(), "a=x n=2 b=true"; got != want {
				t.errorf("the scope has become %s, it was %s", got, want)
			}
		},
	},
	{
		Name:        "shared fields",
		Rule:        "the shared fields of the task come behind the scope's own, whenever they were shared",
		Explanation: "once a goroutine finds out who the user is, all lines of the request should say so",
		check: func(t *trial) {
			own := list("a", 1, "b", 2)
			var out lines
			l := t.New(&out, nil)
			bind(own).Run(func() {
				wants := func(shared ...Field) {
					fields := append(own[:len(own):len(own)], shared...)
					for range 2 { // the second one is remembered
						hello(l)
						t.equal(out.take(), t.attached(fields, hello))
					}
					t.same(nil, fields, hello) // another logger
				}
				wants()
				scope.Share("b", "the scope has it")
				scope.Share("user", "u1")
				scope.Share("n", 7)
				wants(list("user", "u1", "n", 7)...)
				scope.Share("user", "u2")
				wants(list("user", "u2", "n", 7)...)
				scope.Run(func() {
					scope.Set("user", "own")
					t.same(nil, append(own[:len(own):len(own)], list("user", "own", "n", 7)...), hello)
				})
				t.same(&logadapters.Options{MaxFields: 1}, list("n", 7, logadapters.DroppedKey, 3), hello)
				scope.Unshare("user", "n")
				wants()
			})
		},
	},
	{
		Name:        "max fields",
		Rule:        "beyond Options.MaxFields the oldest fields are left out, and scope_dropped says how many",
		Explanation: "a loop that sets another field in each round must not make lines of a megabyte",
		check: func(t *trial) {
			opts := &logadapters.Options{MaxFields: 2}
			declareKeys()
			bind(list("a", 1, "b", 2, "c", 3, hiddenKey, 4, "d", 5)).Run(func() {
				t.same(opts, list("c", 3, "d", 5, logadapters.DroppedKey, 2), hello)
			})
			bind(list("a", 1, hiddenKey, 2, "b", 3)).Run(func() { t.same(opts, list("a", 1, "b", 3), hello) })
		},
	},
	{
		Name:        "hidden",
		Rule:        "a field whose key is declared Hidden is on no line",
		Explanation: "it is in the scope for the program to read",
		check: func(t *trial) {
			declareKeys()
			bind(list("a", 1, hiddenKey, "secret", "b", 2)).Run(func() {
				t.same(nil, list("a", 1, "b", 2), hello)
				t.same(&logadapters.Options{Group: "g"}, list("g", Group{{"a", int64(1)}, {"b", int64(2)}}), hello)
			})
			bind(list(hiddenKey, "secret")).Run(func() { t.same(nil, nil, hello) })
		},
	},
	{
		Name:        "redacted",
		Rule:        `a field whose key is declared Redacted shows "[REDACTED]"`,
		Explanation: "that there was a token is worth knowing, the token is not",
		check: func(t *trial) {
			declareKeys()
			shown := list("a", 1, redactedKey, scope.RedactedText, "b", 2)
			for _, secret := range []any{"secret", 42, float32(0.1), Group{{"s", "secret"}}, valuer(func() slog.Value { return slog.StringValue("secret") })} {
				bind(list("a", 1, redactedKey, secret, "b", 2)).Run(func() { t.same(nil, shown, hello) })
			}
		},
	},
	{
		Name:        "late policy",
		Rule:        "what is declared for a key holds from the next line on, in scopes that exist already, too",
		Explanation: "packages declare their keys when they are initialized, or later, while others log",
		check: func(t *trial) {
			key := "adaptertest_late_" + strconv.FormatUint(lateKeys.Add(1), 10)
			var out lines
			l := t.New(&out, nil)
			bind(list("a", 1, key, "secret")).Run(func() {
				hello(l)
				t.equal(out.take(), t.attached(list("a", 1, key, "secret"), hello))
				scope.NewKey[string](key, scope.Redacted)
				hello(l)
				t.equal(out.take(), t.attached(list("a", 1, key, scope.RedactedText), hello))
				scope.NewKey[string](key, scope.Hidden)
				hello(l)
				t.equal(out.take(), t.attached(list("a", 1), hello))
			})
		},
	},
	{
		Name:        "log valuer",
		Rule:        "a slog.LogValuer is resolved anew for every line",
		Explanation: "it stands for something that changes: time left, rows so far",
		check: func(t *trial) {
			var now atomic.Int64
			clock := valuer(func() slog.Value { return slog.Int64Value(now.Load()) })
			tries := []struct {
				scope []Field
				write func(Logger)
				shown func(now int64) []Field
			}{
				{list("a", 1, "n", clock), hello, func(now int64) []Field { return list("a", 1, "n", now) }},
				{list("g", Group{{"n", clock}}), hello, func(now int64) []Field { return list("g", Group{{"n", now}}) }},
			}
			if t.Lacks&EventKeys == 0 {
				tries = append(tries, tries[0])
				tries[2].write = func(l Logger) { l.Log(background, "hello", Field{"a", 2}) }
				tries[2].shown = func(now int64) []Field { return list("n", now) }
			}
			for _, try := range tries {
				var out lines
				l := t.New(&out, nil)
				bind(try.scope).Run(func() {
					for range 3 {
						now.Add(1)
						try.write(l)
						t.equal(out.take(), t.attached(try.shown(now.Load()), try.write))
					}
				})
			}
		},
	},
	{
		Name:        "log valuer panics",
		Rule:        "if a slog.LogValuer panics, its field says so, and the line is written",
		Explanation: "slog itself does that; the line may be the one that tells why",
		check: func(t *trial) {
			bind(list("a", "x", "bad", valuer(func() slog.Value { panic("boom") }), "z", "w")).Run(func() {
				t.costsOnlyItself(nil, "!PANIC: boom")
			})
			bind(list("a", "x", "bad", Group{{"worse", valuer(func() slog.Value { panic("boom") })}}, "z", "w")).Run(func() {
				t.costsOnlyItself(nil, "!PANIC: boom")
			})
		},
	},
	{
		Name:        "log valuer never ends",
		Rule:        "if a slog.LogValuer answers with another one for ever, only its own field is lost",
		Explanation: "it must end somewhere; slog stops it as well",
		check: func(t *trial) {
			bind(list("a", "x", "bad", endless{}, "z", "w")).Run(func() { t.costsOnlyItself(nil, "endless") })
		},
	},
	{
		Name:        "value panics",
		Rule:        "if a value's own method panics, only its own field is lost",
		Explanation: "the code that set it is far away from the code that logs",
		check: func(t *trial) {
			for _, v := range []any{badMarshaler{}, badTextMarshaler{}, badError{}, (*pointerError)(nil)} {
				bind(list("a", "x", "bad", v, "z", "w")).Run(func() {
					t.costsOnlyItself(nil, "")
					t.costsOnlyItself(&logadapters.Options{MaxFields: 3}, "")
				})
			}
			// It is no field of its own to a logger that doesn't call String.
			bind(list("a", "x", "bad", badStringer{}, "z", "w")).Run(func() { t.costsOnlyItself(nil, "") })
		},
	},
	{
		Name:        "value logs",
		Rule:        "if a value's method logs, its line is written, with those fields of the scope that need no method, and so is the line that the value is on",
		Explanation: "without an adapter both lines are written; with all fields the method would be called for its own line, for ever",
		check: func(t *trial) {
			plain := list("a", "x", "d", time.Second, "g", Group{{"n", int64(1)}})
			for _, kind := range noisyKinds {
				for _, write := range t.noisyWrites() {
					var out lines
					l := t.New(&out, nil)
					depth, calls := 0, 0
					value := kind(func() {
						depth++
						defer func() { depth-- }()
						if depth > 3 {
							t.fatalf("the method is called for its own line, for ever")
						}
						calls++
						if v, _ := scope.Get("noisy"); v == nil {
							t.errorf("scope.Get doesn't see the scope's fields in a method of a value")
						}
						l.Log(background, "inner")
					})
					bind(append(plain[:len(plain):len(plain)], Field{"noisy", value})).Run(func() {
						for range 2 {
							before := calls
							write(l)
							inner := t.attached(plain, func(l Logger) { l.Log(background, "inner") })
							got := out.take()
							if n := strings.Count(got, inner); n != calls-before {
								t.errorf("a value's method logged %d lines and %d are written as\n\t%s\nthere is\n\t%s", calls-before, n, indent(inner), indent(got))
							}
							if got = strings.ReplaceAll(got, inner, ""); strings.Count(got, "hello") != 1 || !strings.Contains(got, "said") {
								t.errorf("the line itself is\n\t%s", indent(got))
							}
						}
					})
					if calls == 0 {
						t.errorf("no method was called")
					}
				}
			}
		},
	},
	{
		Name:        "value sets",
		Rule:        "what a value's method does to the scope ends with it, even if it panics",
		Explanation: "when a method is called, and how often, is up to the adapter, so it must not matter for the lines that follow",
		check: func(t *trial) {
			for _, panics := range []bool{false, true} {
				shown := "said"
				if panics {
					shown = "!PANIC: boom"
				}
				v := valuer(func() slog.Value {
					scope.Set("set", true)
					scope.Delete("a")
					scope.Run(func() { scope.Clear() })
					if panics {
						panic("boom")
					}
					return slog.StringValue("said")
				})
				fields := list("a", "x", "v", v, "z", "w")
				bind(fields).Run(func() {
					for range 2 {
						t.equal(t.stamped(nil, hello), t.attached(list("a", "x", "v", shown, "z", "w"), hello))
					}
					if _, ok := scope.Get("set"); ok {
						t.errorf("what a value's method has set is there after the line")
					}
				})
			}
		},
	},
	{
		Name:        "value waits",
		Rule:        "a value's method may wait for another goroutine that logs with the same logger",
		Explanation: "an adapter that holds a lock while it calls other people's code stops the program",
		check: func(t *trial) {
			for _, kind := range noisyKinds {
				var out lines
				l := t.New(&out, nil)
				value := kind(func() {
					logged := make(chan struct{})
					scope.Scope{}.Go(func() {
						defer close(logged)
						l.Log(background, "inner")
					})
					<-logged
				})
				done := make(chan struct{})
				bind(list("a", 1, "noisy", value)).Go(func() {
					defer close(done)
					defer t.recovered()
					hello(l)
					hello(l)
				})
				select {
				case <-done:
				case <-time.After(patience):
					t.fatalf("the line isn't written while a value's method waits")
				}
				if got := out.take(); strings.Count(got, "hello") != 2 || !strings.Contains(got, "inner") {
					t.errorf("the adapter wrote\n\t%s", indent(got))
				}
			}
		},
	},
	{
		Name:        "value fails",
		Rule:        "a value that the logger can't encode shows what the logger shows for it",
		Explanation: "an adapter shouldn't hide the failure, nor make it worse",
		check: func(t *trial) {
			for _, v := range []any{failingMarshaler{}, []float64{math.NaN()}, map[string]any{"f": failingMarshaler{}}} {
				fields := list("a", "x", "bad", v, "z", "w")
				bind(fields).Run(func() { t.same(nil, fields, hello) })
			}
		},
	},
	{
		Name:        "disabled",
		Rule:        "a line at a disabled level is not written, and no value is resolved for it",
		Explanation: "programs keep their debug lines because these cost nothing",
		check: func(t *trial) {
			bind(list("a", 1, "v", valuer(func() slog.Value {
				t.errorf("the value was resolved")
				return slog.Value{}
			}))).Run(func() {
				write := func(l Logger) { l.Disabled(background, "hello", Field{"x", 1}) }
				if out := t.stamped(nil, write); out != "" {
					t.errorf("the adapter wrote\n\t%s", indent(out))
				}
				if out := t.stamped(nil, func(l Logger) { write(l.With(Field{"y", 1})) }); out != "" {
					t.errorf("a child logger wrote\n\t%s", indent(out))
				}
			})
		},
	},
	{
		Name:        "context of another task",
		Rule:        "a context that carries the scope of another task decides the line",
		Explanation: "what was passed on purpose beats what happens to be bound: a batcher logs for its callers",
		Needs:       Contexts,
		check: func(t *trial) {
			ctx, cancel := context.WithCancel(scope.NewContext(background, bind(list("id", "ctx", "c", 1))))
			defer cancel()
			write := func(l Logger) { l.Log(ctx, "hello", Field{"x", 1}) }
			t.same(nil, list("id", "ctx", "c", 1), write) // nothing is bound
			bind(list("id", "goroutine", "g", 1)).Run(func() {
				t.same(nil, list("id", "ctx", "c", 1), write)
				t.same(nil, list("id", "goroutine", "g", 1), hello)
				t.same(nil, list("id", "ctx", "c", 1), func(l Logger) { write(l.With(Field{"y", 1})) })
				empty := scope.NewContext(background, scope.New())
				t.same(nil, nil, func(l Logger) { l.Log(empty, "hello") })
			})
		},
	},
	{
		Name:        "context of the same task",
		Rule:        "a context that carries a scope of the goroutine's task doesn't decide the line",
		Explanation: "the goroutine's scope is newer: what was set after the context was made counts",
		Needs:       Contexts,
		check: func(t *trial) {
			bind(list("id", 1)).Run(func() {
				ctx := scope.NewContext(background, scope.Current())
				scope.Set("later", 2)
				t.same(nil, list("id", 1, "later", 2), func(l Logger) { l.Log(ctx, "hello") })
			})
		},
	},
	{
		Name:        "context with an addition",
		Rule:        "a context that was made with scope.With gives its line what is bound, and what With has added",
		Explanation: "a middleware's context means: what is bound, and the user. What is set later belongs to the line as well",
		Needs:       Contexts,
		check: func(t *trial) {
			line := func(ctx context.Context) func(Logger) {
				return func(l Logger) { l.Log(ctx, "hello", Field{"x", 1}) }
			}
			bind(list("id", 1)).Run(func() {
				entry := scope.NewContext(background, scope.Current())
				user := scope.NewContext(entry, scope.With("user", "ann", "role", "admin"))
				t.same(nil, list("id", 1, "user", "ann", "role", "admin"), line(user))
				scope.Set("later", 2)
				t.same(nil, list("id", 1, "later", 2, "user", "ann", "role", "admin"), line(user))
				t.same(nil, list("id", 1, "later", 2), line(entry))
				scope.Set("id", 3)
				scope.Set("role", "guest")
				t.same(nil, list("id", 3, "later", 2, "role", "admin", "user", "ann"), line(user))
				scope.Delete("id", "role")
				t.same(nil, list("later", 2, "user", "ann", "role", "admin"), line(user))
				t.same(nil, list("later", 2), hello)
			})
		},
	},
	{
		Name:        "context with less",
		Rule:        "a context of the goroutine's task whose scope had something taken away decides its line",
		Explanation: "code that passes a scope without the token does so on purpose",
		Needs:       Contexts,
		check: func(t *trial) {
			bind(list("id", 1, "token", "t")).Run(func() {
				ctx := scope.NewContext(background, scope.Current().Without("token"))
				scope.Set("later", 2)
				t.same(nil, list("id", 1), func(l Logger) { l.Log(ctx, "hello") })
				t.same(nil, list("id", 1, "token", "t", "later", 2), hello)
			})
		},
	},
	{
		Name:        "context without a scope",
		Rule:        "a context that carries no scope changes nothing",
		Explanation: "most contexts don't",
		Needs:       Contexts,
		check: func(t *trial) {
			type key struct{}
			fields := list("id", 1)
			bind(fields).Run(func() {
				for _, ctx := range []context.Context{
					background, context.WithValue(background, key{}, 1), scope.NewContext(background, scope.Scope{}),
				} {
					t.same(nil, fields, func(l Logger) { l.Log(ctx, "hello") })
				}
			})
		},
	},
	{
		Name:        "bad context",
		Rule:        "a nil context, and one whose Value panics, change nothing",
		Explanation: "most loggers never look at the context, so such code worked without the adapter",
		Needs:       Contexts,
		check: func(t *trial) {
			fields := list("id", 1)
			var none context.Context
			bind(fields).Run(func() {
				for _, ctx := range []context.Context{none, (*brokenContext)(nil)} {
					t.same(nil, fields, func(l Logger) { l.Log(ctx, "hello") })
				}
			})
		},
	},
	{
		Name:        "scope ended",
		Rule:        "a line of a goroutine that its task has left behind carries scope_ended=true, no other does",
		Explanation: "if a line of a request comes after its end, the reader shouldn't have to guess why",
		check: func(t *trial) {
			fields := list("a", 1)
			ended := append(fields[:1:1], Field{logadapters.EndedKey, true})
			var out lines
			l := t.New(&out, nil)
			over, done := make(chan struct{}), make(chan struct{})
			end := sync.OnceFunc(func() { close(over) })
			defer end() // also when the adapter panics
			s := bind(fields)
			s.Run(func() {
				hello(l)
				t.equal(out.take(), t.attached(fields, hello))
				leftBehind := func() {
					defer close(done)
					defer t.recovered()
					<-over
					for range 2 {
						hello(l)
						t.equal(out.take(), t.attached(ended, hello))
					}
					if t.Lacks&EventKeys == 0 {
						write := func(l Logger) { l.Log(background, "hello", Field{"a", 2}) }
						write(l)
						t.equal(out.take(), t.attached(ended[1:], write))
					}
					s.Run(func() { hello(l) }) // as late as its caller
					t.equal(out.take(), t.attached(ended, hello))
					scope.Outside(func() { s.Run(func() { hello(l) }) }) // taken up again
					t.equal(out.take(), t.attached(fields, hello))
				}
				if scope.Carrier() != "portable" {
					go leftBehind()
				} else {
					// A plain go statement inherits nothing there, so nothing is left behind.
					close(done)
				}
			})
			end()
			<-done
			if t.Lacks&Contexts == 0 {
				write := func(l Logger) { l.Log(scope.NewContext(background, s), "hello") }
				write(l)
				t.equal(out.take(), t.attached(ended, write))
			}
		},
	},
	{
		Name:        "scope ended, dropped",
		Rule:        "with DropEnded a line that comes after its task has ended carries only scope_ended=true",
		Explanation: "where goroutines of a pool keep the fields of the task that started them, none are better than the wrong ones",
		check: func(t *trial) {
			opts := &logadapters.Options{Ended: logadapters.DropEnded}
			fields := list("a", 1, "b", 2)
			ended := list(logadapters.EndedKey, true)
			over, done := make(chan struct{}), make(chan struct{})
			end := sync.OnceFunc(func() { close(over) })
			defer end() // also when the adapter panics
			s := bind(fields)
			s.Run(func() {
				t.same(opts, fields, hello)
				if scope.Carrier() == "portable" { // a plain go statement inherits nothing there
					close(done)
					return
				}
				go func() {
					defer close(done)
					defer t.recovered()
					<-over
					t.same(opts, ended, hello)
					t.same(opts, ended, func(l Logger) { l.Log(background, "hello", Field{"c", 3}) })
					scope.Outside(func() { s.Run(func() { t.same(opts, fields, hello) }) })
				}()
			})
			end()
			<-done
			if t.Lacks&Contexts == 0 {
				t.same(opts, ended, func(l Logger) { l.Log(scope.NewContext(background, s), "hello") })
			}
		},
	},
	{
		Name:        "background work",
		Rule:        "a line of a goroutine that scope.Go has started doesn't carry scope_ended",
		Explanation: "it is work of the task, and the task isn't over before its work is",
		check: func(t *trial) {
			fields := list("a", 1)
			over, done := make(chan struct{}), make(chan struct{})
			bind(fields).Run(func() {
				scope.Go(func() {
					defer close(done)
					defer t.recovered()
					<-over
					t.same(nil, fields, hello)
				})
			})
			close(over)
			<-done
		},
	},
	{
		Name:        "fork",
		Rule:        "a goroutine has its parent's fields, and neither sees what the other sets later",
		Explanation: "each worker of a fan-out adds its own fields",
		check: func(t *trial) {
			var out lines
			l := t.New(&out, nil)
			start := func(fn func()) (done chan struct{}) {
				done = make(chan struct{})
				run := func() {
					defer close(done)
					defer t.recovered()
					fn()
				}
				if scope.Carrier() == "portable" {
					scope.Go(run)
				} else {
					go run()
				}
				return done
			}
			bind(list("a", 1)).Run(func() {
				hello(l)
				out.take()
				set, seen := make(chan struct{}), make(chan struct{})
				release := sync.OnceFunc(func() { close(seen) })
				defer release() // also when the adapter panics
				child := start(func() {
					hello(l)
					t.equal(out.take(), t.attached(list("a", 1), hello))
					scope.Set("b", "child")
					hello(l)
					t.equal(out.take(), t.attached(list("a", 1, "b", "child"), hello))
					close(set)
					<-seen
					hello(l)
					t.equal(out.take(), t.attached(list("a", 1, "b", "child"), hello))
				})
				select {
				case <-set:
					hello(l)
					t.equal(out.take(), t.attached(list("a", 1), hello))
					scope.Set("c", "parent")
					hello(l)
					t.equal(out.take(), t.attached(list("a", 1, "c", "parent"), hello))
					release()
				case <-child: // it has failed
				}
				<-child
			})
		},
	},
	{
		Name:        "goroutines",
		Rule:        "goroutines that share a logger each get their own scope's fields on each line",
		Explanation: "it is what a server does all day; run with -race, it also shows a data race in what is remembered",
		check: func(t *trial) {
			const workers, rounds = 16, 50
			var out lines
			l := t.New(&out, nil)
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					defer t.recovered()
					bind(list("id", w)).Run(func() {
						child := l.With(Field{"child", true})
						for i := range rounds {
							l.Log(background, "hello", Field{"worker", w})
							child.Log(background, "hello", Field{"worker", w})
							if i == rounds/2 {
								scope.Set("half", true)
							}
						}
					})
				})
			}
			wg.Wait()
			count := 0
			for line := range strings.Lines(out.String()) {
				o := t.object(line)
				if fmt.Sprint(o.values["id"]) != fmt.Sprint(o.values["worker"]) {
					t.fatalf("the line of one goroutine has the field of another:\n\t%s", indent(line))
				}
				count++
			}
			if count != 2*workers*rounds {
				t.errorf("%d lines were logged and %d written", 2*workers*rounds, count)
			}
		},
	},
	{
		Name:        "one scope, many goroutines",
		Rule:        "goroutines that share a logger and a scope may log at once, repeating keys and not",
		Explanation: "what is remembered with a scope is found, made and replaced by several goroutines at a time",
		check: func(t *trial) {
			const workers, rounds = 8, 50
			var out lines
			l := t.New(&out, nil)
			s := bind(list("a", 1, "b", 2, "c", 3))
			keys := []string{"x", "a", "b", "c"}
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					defer t.recovered()
					s.Run(func() {
						for i := range rounds {
							l.Log(background, "hello", Field{keys[(w+i)%len(keys)], "event"})
						}
					})
				})
			}
			wg.Wait()
			allowed := map[string]bool{}
			for _, key := range keys {
				var fields []Field
				for _, f := range list("a", 1, "b", 2, "c", 3) {
					if f.Key != key || t.Lacks&EventKeys != 0 {
						fields = append(fields, f)
					}
				}
				allowed[t.attached(fields, func(l Logger) { l.Log(background, "hello", Field{key, "event"}) })] = true
			}
			count := 0
			for line := range strings.Lines(out.String()) {
				if !allowed[line] {
					t.fatalf("the adapter wrote\n\t%s", indent(line))
				}
				count++
			}
			if count != workers*rounds {
				t.errorf("%d lines were logged and %d written", workers*rounds, count)
			}
		},
	},
}

var background = context.Background()

// hello writes a line, for cases to which it doesn't matter what it says.
func hello(l Logger) { l.Log(background, "hello") }

// upper is a filter that makes keys upper case.
func upper(a slog.Attr) (slog.Attr, bool) {
	a.Key = strings.ToUpper(a.Key)
	return a, true
}

// costsOnlyItself checks that the bound scope's bad field doesn't keep the others, "a"
// and "z", from the line, and that the line says why.
func (t *trial) costsOnlyItself(opts *logadapters.Options, why string) {
	for range 2 {
		line := t.stamped(opts, func(l Logger) { l.Log(background, "hello", Field{"own", "o"}) })
		o := t.object(line)
		if o.values["a"] != "x" || o.values["z"] != "w" || o.values["own"] != "o" || !strings.Contains(line, "hello") {
			t.errorf("a field that is all right is missing:\n\t%s", indent(line))
		}
		if !strings.Contains(line, why) {
			t.errorf("the line doesn't say %q:\n\t%s", why, indent(line))
		}
	}
}

// attachedOnce checks that a logger's own fields, attached to what open returns, are taken at
// once: lines of several scopes are compared with lines of a logger that was made anew for each.
func (t *trial) attachedOnce(open func(Logger) Logger) {
	calls := 0
	with := func(l Logger) Logger {
		text, raw := []byte("taken"), json.RawMessage(`"taken"`)
		count := valuer(func() slog.Value { calls++; return slog.StringValue("asked") })
		fields := list("text", text, "raw", raw, "in", Group{{"text", text}})
		if t.Slog {
			fields = append(fields, list("asked", count, "asked_in", Group{{"v", count}})...)
		}
		l = open(l).With(fields...)
		copy(text, "later")
		copy(raw, `"later"`)
		return l
	}
	with(t.Reference(new(lines), nil))
	want := calls
	calls = 0
	var out lines
	l := with(t.New(&out, nil))
	var got []string
	fields := make([][]Field, 3)
	for i := range fields {
		fields[i] = list("n", i, "id", "x")
		bind(fields[i]).Run(func() {
			hello(l)
			got = append(got, out.take())
			l.Log(background, "hello", Field{"n", "event"})
			out.take()
		})
	}
	if calls != want {
		t.errorf("values that were attached once are asked %d times, and %d without the adapter", calls, want)
	}
	for i, line := range got {
		t.equal(line, t.attached(fields[i], func(l Logger) { hello(with(l)) }))
	}
}

// patience is how long a line may take before the suite concludes that it never returns.
var patience = 10 * time.Second

// noisyKinds make values with a method that calls say, and shows "said".
var noisyKinds = []func(say func()) any{
	func(say func()) any {
		return valuer(func() slog.Value { say(); return slog.StringValue("said") })
	},
	func(say func()) any { return noisyMarshaler{say} },
	func(say func()) any {
		return slog.GroupValue(slog.Int("m", 1), slog.Any("v", valuer(func() slog.Value { say(); return slog.StringValue("said") })))
	},
}

type noisyMarshaler struct{ say func() }

func (m noisyMarshaler) MarshalJSON() ([]byte, error) { m.say(); return []byte(`"said"`), nil }

func (m noisyMarshaler) MarshalText() ([]byte, error) { m.say(); return []byte("said"), nil }

// noisyWrites write one line each, in ways that differ to an adapter.
func (t *trial) noisyWrites() []func(Logger) {
	writes := []func(Logger){hello, func(l Logger) { hello(l.With(Field{"x", 1})) }}
	if t.Lacks&EventKeys == 0 {
		writes = append(writes, func(l Logger) { l.Log(background, "hello", Field{"a", "event"}) })
	}
	if t.Lacks&Groups == 0 {
		writes = append(writes, func(l Logger) { hello(l.Group("http").With(Field{"x", 1})) })
	}
	return writes
}

// The keys whose policies the cases declare. The declarations hold for the process, so
// nobody else should have keys of these names.
const (
	hiddenKey   = "adaptertest_hidden"
	redactedKey = "adaptertest_redacted"
)

var lateKeys atomic.Uint64

func declareKeys() {
	scope.NewKey[any](hiddenKey, scope.Hidden)
	scope.NewKey[any](redactedKey, scope.Redacted)
}

type valuer func() slog.Value

func (v valuer) LogValue() slog.Value { return v() }

type endless struct{}

func (e endless) LogValue() slog.Value { return slog.AnyValue(e) }

type marshaler struct{}

func (marshaler) MarshalJSON() ([]byte, error) { return []byte(`{"marshaled": [1, 2]}`), nil }

type textMarshaler struct{}

func (textMarshaler) MarshalText() ([]byte, error) { return []byte("text, marshaled"), nil }

type stringer struct{}

func (stringer) String() string { return "a stringer" }

type failingMarshaler struct{}

func (failingMarshaler) MarshalJSON() ([]byte, error) { return nil, errors.New("can't marshal") }

type badMarshaler struct{}

func (badMarshaler) MarshalJSON() ([]byte, error) { panic("boom in MarshalJSON") }

type badTextMarshaler struct{}

func (badTextMarshaler) MarshalText() ([]byte, error) { panic("boom in MarshalText") }

type badStringer struct{}

func (badStringer) String() string { panic("boom in String") }

type badError struct{}

func (badError) Error() string { panic("boom in Error") }

type pointerError struct{ text string }

func (e *pointerError) Error() string { return e.text }

type brokenContext struct {
	context.Context
	value any
}

func (c *brokenContext) Value(any) any { return c.value }
