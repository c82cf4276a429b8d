package adaptertest_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
)

// A Journal stands for the logger that an adapter is written for. It writes JSON lines,
// and has a hook that may add to each.
type Journal struct {
	W        io.Writer
	Hook     func(ctx context.Context) []byte
	attached []byte
}

// With returns a child of j that writes these fields on each line.
func (j Journal) With(fields []byte) Journal {
	j.attached = append(j.attached[:len(j.attached):len(j.attached)], fields...)
	return j
}

// Info writes a line. Fields are made with AppendField.
func (j Journal) Info(ctx context.Context, msg string, fields []byte) {
	line := AppendField([]byte("{"), "msg", msg)
	line = append(append(line, j.attached...), fields...)
	line = append(line, j.Hook(ctx)...)
	line[len(line)-1] = '}' // was the last field's comma
	_, _ = j.W.Write(append(line, '\n'))
}

// AppendField appends a field and a comma.
func AppendField(text []byte, key string, value any) []byte {
	name, _ := json.Marshal(key)
	encoded, err := json.Marshal(value)
	if err != nil {
		encoded, _ = json.Marshal(err.Error())
	}
	text = append(append(text, name...), ':')
	return append(append(text, encoded...), ',')
}

// Object returns what AppendField has appended as a value.
func Object(fields []byte) json.RawMessage {
	if len(fields) > 0 {
		fields = fields[:len(fields)-1]
	}
	return json.RawMessage("{" + string(fields) + "}")
}

// NewHook is the adapter.
func NewHook(opts *logadapters.Options) func(ctx context.Context) []byte {
	cache := &logadapters.Cache[[]byte]{Options: opts, Attach: attach, Reserved: []string{"msg"}}
	return func(ctx context.Context) []byte {
		if d := cache.Lookup(logadapters.Pick(ctx)); d != nil {
			return d.Value
		}
		return nil
	}
}

// attach appends what the hook adds to lines. text is shared by goroutines: it stays as it is.
func attach(text []byte, fields logadapters.Fields) []byte {
	var added []byte
	for i, a := range fields.Attrs {
		if a.Value.Kind() == slog.KindGroup {
			added = appendGroup(added, a)
		} else {
			added = AppendField(added, a.Key, fields.Any(i))
		}
	}
	if fields.Group != "" {
		added = AppendField(nil, fields.Group, Object(added))
	}
	return slices.Concat(text, added)
}

func appendGroup(text []byte, group slog.Attr) []byte {
	var members []byte
	for _, a := range group.Value.Group() {
		if a.Value.Kind() == slog.KindGroup {
			members = appendGroup(members, a)
		} else {
			members = AppendField(members, a.Key, a.Value.Any())
		}
	}
	return AppendField(text, group.Key, Object(members))
}

// A glue is a Journal as adaptertest sees it.
type glue struct {
	Journal
}

func (g glue) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	g.Info(ctx, msg, appendFields(nil, fields))
}

func (g glue) Disabled(context.Context, string, ...adaptertest.Field) {
	// A Journal has one level.
}

func (g glue) With(fields ...adaptertest.Field) adaptertest.Logger {
	return glue{g.Journal.With(appendFields(nil, fields))}
}

func (g glue) Group(string) adaptertest.Logger { panic("a Journal has no groups") }

func appendFields(text []byte, fields []adaptertest.Field) []byte {
	for _, f := range fields {
		switch group, ok := f.Value.(adaptertest.Group); {
		case !ok:
			text = AppendField(text, f.Key, f.Value)
		case f.Key == "":
			text = appendFields(text, group)
		default:
			text = AppendField(text, f.Key, Object(appendFields(nil, group)))
		}
	}
	return text
}

var journal = adaptertest.Adapter{
	New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
		return glue{Journal{W: w, Hook: NewHook(opts)}}
	},
	// The hook adds behind the line's own fields. So does the reference.
	Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
		text := appendFields(nil, fields)
		return glue{Journal{W: w, Hook: func(context.Context) []byte { return text }}}
	},
	Own:   []string{"msg"},
	Lacks: adaptertest.Groups | adaptertest.EventKeys,
}

// An adapter for a logger of one's own, and its conformance test.
func ExampleRun() {
	var t *testing.T // the argument of TestConformance
	adaptertest.Run(t, journal)
	adaptertest.RunGenerated(t, journal, 5000)
}
