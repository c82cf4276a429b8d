package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	charm "github.com/charmbracelet/log"
	"github.com/lmittmann/tint"
	console "github.com/phsym/console-slog"
	"github.com/rs/zerolog"
	slogmulti "github.com/samber/slog-multi"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/logadapters/adaptertest"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// A trait says which tests suit a handler.
type trait uint8

const (
	// exact: it writes attached attributes as those of a line, of whatever kind.
	exact trait = 1 << iota
	// asJSON: its lines are JSON, with the keys of log/slog.
	asJSON
	// ownGroups: what its WithGroup does isn't what log/slog says. The adapter puts the
	// groups into a stamped line itself, so there the two differ.
	ownGroups
)

var handlers = []struct {
	name   string
	new    func(w io.Writer) slog.Handler
	traits trait
}{
	{"tint", func(w io.Writer) slog.Handler { return tint.NewTextHandler(w, &tint.Options{NoColor: true}) }, exact},
	{"slog-multi Fanout", func(w io.Writer) slog.Handler { return slogmulti.Fanout(slog.DiscardHandler, jsonHandler(w)) }, exact | asJSON},
	{"slog-multi Pipe", func(w io.Writer) slog.Handler {
		return slogmulti.Pipe(slogmulti.NewHandleInlineMiddleware(passOn)).Handler(jsonHandler(w))
	}, exact | asJSON},
	{"slog-multi Router", func(w io.Writer) slog.Handler {
		all := func(context.Context, slog.Record) bool { return true }
		return slogmulti.Router().Add(jsonHandler(w), all).Handler()
	}, exact | asJSON},
	{"slog-multi Failover", func(w io.Writer) slog.Handler { return slogmulti.Failover()(jsonHandler(w)) }, exact | asJSON},
	// These panic on some values, or write empty groups that were attached, which log/slog
	// doesn't keep in a line.
	{"console-slog", func(w io.Writer) slog.Handler {
		return console.NewHandler(w, &console.HandlerOptions{NoColor: true})
	}, 0},
	{"otelslog", otelHandler, 0},
	{"zapslog", func(w io.Writer) slog.Handler {
		enc := zap.NewProductionEncoderConfig()
		enc.TimeKey = "time"
		return zapslog.NewHandler(zapcore.NewCore(zapcore.NewJSONEncoder(enc), zapcore.AddSync(w), zap.InfoLevel))
	}, 0},
	// Its groups are a prefix of the message.
	{"charm", func(w io.Writer) slog.Handler { return charm.New(w) }, ownGroups},
	{"charm JSON", func(w io.Writer) slog.Handler {
		return charm.NewWithOptions(w, charm.Options{Formatter: charm.JSONFormatter})
	}, ownGroups},
	// Its groups take in what was attached before they were opened.
	{"zerolog", func(w io.Writer) slog.Handler { return zerolog.NewSlogHandler(zerolog.New(w).Level(zerolog.InfoLevel)) }, ownGroups},
}

func jsonHandler(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }

func passOn(ctx context.Context, r slog.Record, next func(context.Context, slog.Record) error) error {
	return next(ctx, r)
}

func otelHandler(w io.Writer) slog.Handler {
	p := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(exporter{w})))
	return atInfo{otelslog.NewHandler("interop", otelslog.WithLoggerProvider(p))}
}

// atInfo gives a handler a level.
type atInfo struct{ slog.Handler }

func (h atInfo) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h atInfo) WithAttrs(attrs []slog.Attr) slog.Handler     { return atInfo{h.Handler.WithAttrs(attrs)} }
func (h atInfo) WithGroup(name string) slog.Handler           { return atInfo{h.Handler.WithGroup(name)} }

// An exporter writes OpenTelemetry's records, one a line.
type exporter struct{ w io.Writer }

func (e exporter) Export(_ context.Context, records []sdklog.Record) error {
	for _, r := range records {
		line := fmt.Appendf(nil, "%v %v %v", r.Timestamp().UTC(), r.Severity(), r.Body())
		r.WalkAttributes(func(kv attribute.KeyValue) bool {
			line = fmt.Appendf(line, " %s=%s", kv.Key, kv.Value.String())
			return true
		})
		if _, err := e.w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (exporter) Shutdown(context.Context) error   { return nil }
func (exporter) ForceFlush(context.Context) error { return nil }

// A logger is a handler as adaptertest sees it.
type logger struct{ slog.Handler }

func (l logger) Log(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(ctx, slog.LevelInfo, msg, fields)
}

func (l logger) Disabled(ctx context.Context, msg string, fields ...adaptertest.Field) {
	l.log(ctx, slog.LevelDebug, msg, fields)
}

func (l logger) log(ctx context.Context, level slog.Level, msg string, fields []adaptertest.Field) {
	if ctx == nil {
		ctx = context.Background() // charm's logger looks into it
	}
	if l.Enabled(ctx, level) {
		r := slog.NewRecord(lineTime, level, msg, 0)
		r.AddAttrs(attrs(fields)...)
		_ = l.Handle(ctx, r)
	}
}

var lineTime = time.Unix(1700000000, 0).UTC()

func (l logger) With(fields ...adaptertest.Field) adaptertest.Logger {
	return logger{l.WithAttrs(attrs(fields))}
}

func (l logger) Group(name string) adaptertest.Logger { return logger{l.WithGroup(name)} }

func attrs(fields []adaptertest.Field) (attrs []slog.Attr) {
	for _, f := range fields {
		attrs = append(attrs, f.Attr())
	}
	return attrs
}

func adapter(handler func(io.Writer) slog.Handler) adaptertest.Adapter {
	return adaptertest.Adapter{
		New: func(w io.Writer, opts *logadapters.Options) adaptertest.Logger {
			return logger{slogh.New(handler(w), opts)}
		},
		Reference: func(w io.Writer, fields []adaptertest.Field) adaptertest.Logger {
			return adaptertest.AttachLast(logger{handler(w)}, fields)
		},
		Own:  []string{slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey},
		Slog: true,
	}
}

func TestConformance(t *testing.T) {
	for _, h := range handlers {
		if h.traits&asJSON != 0 {
			t.Run(h.name, func(t *testing.T) { adaptertest.Run(t, adapter(h.new)) })
		}
	}
}

func TestSameBytes(t *testing.T) {
	for _, h := range handlers {
		if h.traits&exact != 0 {
			t.Run(h.name, func(t *testing.T) { adaptertest.RunGenerated(t, adapter(h.new), 1000) })
		}
	}
}

// What programs log mostly.
func TestSameBytesOfUsualLines(t *testing.T) {
	field := func(key string, value any) adaptertest.Field { return adaptertest.Field{Key: key, Value: value} }
	// No error is in a group: otelslog writes it otherwise if the group is the line's own, and the
	// adapter makes it that on a stamped line.
	line := []adaptertest.Field{field("n", 2), field("list", []int{1}), field("o", adaptertest.Group{field("in", "x")})}
	fields := []adaptertest.Field{field("request_id", "r 1"), field("user", 77), field("took", time.Second), field("g", adaptertest.Group{field("in", true)})}
	bound := scope.New()
	for _, a := range attrs(fields) {
		bound = bound.With(a)
	}
	for _, h := range handlers {
		t.Run(h.name, func(t *testing.T) {
			ctx := context.Background()
			write := func(l adaptertest.Logger) {
				l.Log(ctx, "first")
				l.Disabled(ctx, "hidden")
				l.Log(ctx, "second", line...)
				l = l.With(field("attached", 1.5))
				l.Log(ctx, "third", line...)
				l.Log(ctx, "fourth", field("err", io.EOF))
				if h.traits&ownGroups == 0 {
					l.Group("open").With(field("inside", "y")).Log(ctx, "fifth", line...)
				}
			}
			same := func(what string, s scope.Scope, fields []adaptertest.Field) {
				t.Helper()
				a := adapter(h.new)
				var got, want bytes.Buffer
				s.Run(func() { write(a.New(&got, nil)) })
				write(a.Reference(&want, fields))
				if got.String() != want.String() || got.Len() == 0 {
					t.Errorf("%s, got\n%s\nwant\n%s", what, &got, &want)
				}
			}
			same("nothing bound", scope.Scope{}, nil)
			same("bound", bound, fields)
			same("hidden", scope.New(hidden.Attr("x")), nil)
		})
	}
}

var hidden = scope.NewKey[string]("hidden", scope.Hidden)

// What testing/slogtest says of a handler, and the lines of its cases, are the same with the
// adapter around it.
func TestSlogtest(t *testing.T) {
	for _, h := range handlers {
		t.Run(h.name, func(t *testing.T) {
			run := func(adapt func(slog.Handler) slog.Handler) (lines, verdict string) {
				var out bytes.Buffer
				err := slogtest.TestHandler(adapt(sameTime{h.new(&out)}), func() []map[string]any {
					if h.traits&asJSON == 0 {
						return nil
					}
					return decode(t, out.String())
				})
				return out.String(), fmt.Sprint(err)
			}
			lines, verdict := run(func(h slog.Handler) slog.Handler { return h })
			same := func(what string) {
				t.Helper()
				got, v := run(func(h slog.Handler) slog.Handler { return slogh.New(h, nil) })
				if what != "nothing bound" {
					stamped := strings.Count(got, "request_id")
					for _, stamp := range []string{`,"request_id":7`, ` request_id=7`} {
						got = strings.ReplaceAll(got, stamp, "")
					}
					if n := strings.Count(got, "\n"); stamped != n {
						t.Errorf("%d lines, %d of them stamped", n, stamped)
					}
				}
				if got != lines || v != verdict {
					t.Errorf("%s, got\n%s%s\nwant\n%s%s", what, got, v, lines, verdict)
				}
			}
			same("nothing bound")
			if h.traits&ownGroups == 0 {
				scope.New("request_id", 7).Run(func() { same("bound") })
			}
		})
	}
}

func decode(t *testing.T, lines string) (all []map[string]any) {
	for line := range strings.Lines(lines) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// sameTime gives all lines that have a time the same one, and no place.
type sameTime struct{ slog.Handler }

func (h sameTime) Handle(ctx context.Context, r slog.Record) error {
	if !r.Time.IsZero() {
		r.Time = lineTime
	}
	r.PC = 0
	return h.Handler.Handle(ctx, r)
}

func (h sameTime) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sameTime{h.Handler.WithAttrs(attrs)}
}
func (h sameTime) WithGroup(name string) slog.Handler { return sameTime{h.Handler.WithGroup(name)} }
