package main

import (
	"log/slog"
	"runtime"
	"slices"
	"strconv"

	"github.com/taskscope/taskscope/scope"
)

// The model of fields: their policies, their values, and how they are encoded.

// A field is what a line must show of a field, and Get return.
type field struct {
	key    string
	want   any    // what Get must return; nil for a group, which == doesn't take
	json   string // as all three loggers encode it
	method bool   // a method of the value is called to encode it
}

// The keys of three fields have policies; the others have none.
const (
	hiddenKey   = "k7"
	redactedKey = "k8"
	profiledKey = "k9"
)

func declareKeys() {
	scope.NewKey[any](hiddenKey, scope.Hidden)
	scope.NewKey[any](redactedKey, scope.Redacted)
	scope.NewKey[any](profiledKey, scope.Profiled)
}

// kindsOfFields is how many kinds newField knows.
const kindsOfFields = 7

// newField returns a field of this kind, the value that makes it if it is given to Set, and an
// Attr that makes it too. n tells it from others.
func (r *run) newField(key string, kind, n int) (f field, value any, attr slog.Attr) {
	f.key = key
	number := strconv.Itoa(n)
	switch kind {
	case 0:
		f.json, f.want = number, int64(n)
		return f, n, slog.Int(key, n)
	case 1:
		value = n%2 == 0
		f.json, f.want = strconv.FormatBool(n%2 == 0), value
		return f, value, slog.Any(key, value)
	case 2:
		l := late("late " + number)
		f.json, f.want, f.method = `"late `+number+`"`, l, true
		return f, l, slog.Any(key, l)
	case 3:
		g := slog.GroupValue(slog.Int("n", n), slog.String("s", "x"))
		f.json = `{"n":` + number + `,"s":"x"}`
		return f, g, slog.Attr{Key: key, Value: g}
	case 4:
		t := talker{r, n}
		f.json, f.want, f.method = `"talk `+number+`"`, t, true
		return f, t, slog.Any(key, t)
	case 5:
		s := `quo"ted ` + number
		f.json, f.want = `"quo\"ted `+number+`"`, s
		return f, s, slog.String(key, s)
	}
	s := "value " + number
	f.json, f.want = `"`+s+`"`, s
	return f, s, slog.String(key, s)
}

// asSet is f after Set(key, value), which keeps the type of value.
func (f field) asSet(value any) field {
	if _, isGroup := value.(slog.Value); !isGroup {
		f.want = value
	}
	return f
}

// is reports whether v, which Get has returned, is the value of f.
func (f field) is(v any) bool { return f.want == nil || v == f.want }

func (f field) talks() bool { _, ok := f.want.(talker); return ok }

// A late value is resolved for each line.
type late string

func (l late) LogValue() slog.Value {
	runtime.Gosched() // others may share meanwhile: the line must not see it
	return slog.StringValue(string(l))
}

// A talker is a value that logs a line of its own while a line that it is on is encoded.
type talker struct {
	run *run
	n   int
}

func (t talker) MarshalJSON() ([]byte, error) {
	line, ok := t.run.talking.Load(goid())
	if !ok {
		panic("a value is encoded, and no line of its scope is written")
	}
	line.(*logging).talk()
	return []byte(`"talk ` + strconv.Itoa(t.n) + `"`), nil
}

// merged returns old with more fields. One whose key is there takes the place of the old one.
func merged(old []field, fields ...field) []field {
	all := slices.Grow(slices.Clone(old), len(fields))
	for _, f := range fields {
		if i := slices.IndexFunc(all, func(g field) bool { return g.key == f.key }); i >= 0 {
			all[i] = f
		} else {
			all = append(all, f)
		}
	}
	return all
}

// less returns old without the fields of these keys.
func less(old []field, keys ...string) []field {
	return slices.DeleteFunc(slices.Clone(old), func(f field) bool { return slices.Contains(keys, f.key) })
}
