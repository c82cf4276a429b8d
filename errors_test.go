package taskscope_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	xslog "golang.org/x/exp/slog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/slogh/xslogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// An errorLogger writes lines "m" with args as its With and as the line's own.
type errorLogger func(out io.Writer, opts *logadapters.Options, with, args []any)

var errorLoggers = map[string]errorLogger{
	"slog": func(out io.Writer, opts *logadapters.Options, with, args []any) {
		h := slog.NewJSONHandler(out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		}})
		slog.New(slogh.New(h, opts)).With(with...).Info("m", args...)
	},
	"another's slog handler": func(out io.Writer, opts *logadapters.Options, with, args []any) {
		h := slog.NewJSONHandler(out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		}})
		slog.New(slogh.New(struct{ slog.Handler }{h}, opts)).With(with...).Info("m", args...)
	},
	"x/exp/slog": func(out io.Writer, opts *logadapters.Options, with, args []any) {
		h := xslog.NewJSONHandler(out, &xslog.HandlerOptions{ReplaceAttr: func(groups []string, a xslog.Attr) xslog.Attr {
			if len(groups) == 0 && (a.Key == xslog.TimeKey || a.Key == xslog.LevelKey) {
				return xslog.Attr{}
			}
			return a
		}})
		xslog.New(xslogh.New(h, opts)).With(with...).Info("m", args...)
	},
	"zap": func(out io.Writer, opts *logadapters.Options, with, args []any) {
		core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), zapcore.AddSync(out), zap.InfoLevel)
		zap.New(zaph.New(core, opts)).Sugar().With(with...).Infow("m", args...)
	},
	"another's zap core": func(out io.Writer, opts *logadapters.Options, with, args []any) {
		core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), zapcore.AddSync(out), zap.InfoLevel)
		zap.New(zaph.New(struct{ zapcore.Core }{core}, opts)).Sugar().With(with...).Infow("m", args...)
	},
}

var errLuck = errors.New("no luck")

// failed returns the error of a task with the fields request_id, order and secret.
func failed(err error) (marked error) {
	scope.With("order", 7, "errors_secret", "s", "errors_hidden", "h").Run(func() { marked = scope.Error(err) })
	return marked
}

func TestALineHasTheFieldsOfItsError(t *testing.T) {
	scope.NewKey[string]("errors_secret", scope.Redacted)
	scope.NewKey[string]("errors_hidden", scope.Hidden)
	var elsewhere error
	scope.New("request_id", "other").Run(func() { elsewhere = failed(errLuck) })
	more := `"order":7,"errors_secret":"[REDACTED]"`
	other := `"error_scope":{"request_id":"other",` + more + `}`
	for _, c := range []struct {
		rule string
		opts *logadapters.Options
		with []any
		args func() []any
		want string
	}{
		{"none", nil, nil, func() []any { return []any{"err", errLuck} }, `"request_id":"r","err":"no luck"`},
		{"its own", nil, nil, func() []any { return []any{"err", failed(errLuck)} }, `"request_id":"r",` + more + `,"err":"no luck"`},
		{"one that is wrapped", nil, nil, func() []any { return []any{"err", fmt.Errorf("oh: %w", failed(errLuck))} }, `"request_id":"r",` + more + `,"err":"oh: no luck"`},
		{"one of two", nil, nil, func() []any { return []any{"err", fmt.Errorf("%w, %w", io.EOF, failed(errLuck))} }, `"request_id":"r",` + more + `,"err":"EOF, no luck"`},
		{"one of another task", nil, nil, func() []any { return []any{"err", elsewhere} }, `"request_id":"r",` + other + `,"err":"no luck"`},
		{"both", nil, nil, func() []any { return []any{"a", failed(errLuck), "b", elsewhere} }, `"request_id":"r",` + more + `,` + other + `,"a":"no luck","b":"no luck"`},
		{"the same twice", nil, nil, func() []any { err := failed(errLuck); return []any{"a", err, "b", err} }, `"request_id":"r",` + more + `,"a":"no luck","b":"no luck"`},
		{"in the logger's With", nil, []any{"err", elsewhere}, func() []any { return []any{"n", 1} }, `"err":"no luck","request_id":"r",` + other + `,"n":1`},
		{"a key of the line", nil, nil, func() []any { return []any{"err", failed(errLuck), "order", 1} }, `"request_id":"r","errors_secret":"[REDACTED]","err":"no luck","order":1`},
		{"a key of the line, and the scope wins", &logadapters.Options{Duplicates: logadapters.ScopeWins}, nil, func() []any { return []any{"err", failed(errLuck), "order", 1} },
			`"request_id":"r","errors_secret":"[REDACTED]","err":"no luck","order":1`},
		{"a key of the line, and both stay", &logadapters.Options{Duplicates: logadapters.KeepBoth}, nil, func() []any { return []any{"err", failed(errLuck), "order", 1} },
			`"request_id":"r","errors_secret":"[REDACTED]","err":"no luck","order":1`},
		{"a key of the scope", nil, nil, func() []any { err := failed(errLuck); scope.Set("order", 8); return []any{"err", err} },
			`"request_id":"r","order":8,"errors_secret":"[REDACTED]","err":"no luck"`},
		{"in a group", &logadapters.Options{Group: "scope"}, nil, func() []any { return []any{"err", failed(errLuck)} }, `"scope":{"request_id":"r",` + more + `},"err":"no luck"`},
		{"filtered", &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, a.Key != "order" }}, nil, func() []any { return []any{"err", failed(errLuck)} },
			`"request_id":"r","errors_secret":"[REDACTED]","err":"no luck"`},
	} {
		for name, log := range errorLoggers {
			t.Run(c.rule+"/"+name, func(t *testing.T) {
				var out bytes.Buffer
				scope.New("request_id", "r").Run(func() { log(&out, c.opts, c.with, c.args()) })
				if got, want := out.String(), `{"msg":"m",`+c.want+"}\n"; got != want {
					t.Errorf("\ngot  %swant %s", got, want)
				}
			})
		}
	}
	for name, log := range errorLoggers {
		t.Run("no task/"+name, func(t *testing.T) {
			var out bytes.Buffer
			log(&out, nil, nil, []any{"err", elsewhere})
			if want := `{"msg":"m",` + other + `,"err":"no luck"}` + "\n"; out.String() != want {
				t.Errorf("\ngot  %swant %s", out.String(), want)
			}
		})
	}
}

// A child has the errors of its parents, too.
func TestErrorsOfSeveralWiths(t *testing.T) {
	var first, second error
	scope.New("request_id", "other").Run(func() { first = failed(errLuck) })
	scope.New("request_id", "r").Run(func() {
		scope.With("step", 2).Run(func() { second = scope.Error(io.EOF) })
		for name, log := range map[string]func(out io.Writer){
			"slog": func(out io.Writer) {
				slog.New(slogh.New(slog.NewJSONHandler(out, nil), nil)).With("a", first).With("b", second).WithGroup("g").With("c", 1).Info("m")
			},
			"zap": func(out io.Writer) {
				core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), zapcore.AddSync(out), zap.InfoLevel)
				zap.New(zaph.New(core, nil)).With(zap.NamedError("a", first)).With(zap.NamedError("b", second)).With(zap.Namespace("g"), zap.Int("c", 1)).Info("m")
			},
		} {
			var out bytes.Buffer
			log(&out)
			if line := out.String(); !strings.Contains(line, `"error_scope":{"request_id":"other","order":7`) || !strings.Contains(line, `"step":2`) {
				t.Errorf("%s: %s", name, line)
			}
		}
	})
}

// The fields of an error's own task appear where the line has their keys in no other way, whatever
// Duplicates says. The group of another task is a field as any other.
func TestErrorsAndDuplicates(t *testing.T) {
	both, wins := &logadapters.Options{Duplicates: logadapters.KeepBoth}, &logadapters.Options{Duplicates: logadapters.ScopeWins}
	var elsewhere error
	scope.New("request_id", "other").Run(func() { elsewhere = scope.Error(errLuck) })
	group := `"error_scope":{"request_id":"other"}`
	for _, c := range []struct {
		rule string
		opts *logadapters.Options
		set  []slog.Attr // in the line's scope
		with []any
		args []any // behind the error of the line's own task, or of another one
		own  bool
		want string
	}{
		{"own, a key of the line", nil, nil, nil, []any{"order", 1}, true, `"request_id":"r","err":"no luck","order":1`},
		{"own, a key of the line", wins, nil, nil, []any{"order", 1}, true, `"request_id":"r","err":"no luck","order":1`},
		{"own, a key of the line", both, nil, nil, []any{"order", 1}, true, `"request_id":"r","err":"no luck","order":1`},
		{"own, a key of With", nil, nil, []any{"order", 1}, nil, true, `"order":1,"request_id":"r","err":"no luck"`},
		{"own, a key of With", wins, nil, []any{"order", 1}, nil, true, `"order":1,"request_id":"r","err":"no luck"`},
		{"own, a key of With", both, nil, []any{"order", 1}, nil, true, `"order":1,"request_id":"r","err":"no luck"`},
		{"own, a key of the scope", nil, []slog.Attr{slog.Int("order", 1)}, nil, nil, true, `"request_id":"r","order":1,"err":"no luck"`},
		{"own, a key of the scope", both, []slog.Attr{slog.Int("order", 1)}, nil, []any{"order", 2}, true, `"request_id":"r","order":1,"err":"no luck","order":2`},
		{"own, a key of the scope", wins, []slog.Attr{slog.Int("order", 1)}, nil, []any{"order", 2}, true, `"request_id":"r","order":1,"err":"no luck"`},
		{"own, a key of the line outside the group", &logadapters.Options{Group: "scope"}, nil, nil, []any{"order", 1}, true,
			`"scope":{"request_id":"r","order":7},"err":"no luck","order":1`},
		{"another's", nil, nil, nil, []any{"request_id", 1}, false, group + `,"err":"no luck","request_id":1`},
		{"another's", both, nil, nil, []any{"request_id", 1}, false, `"request_id":"r",` + group + `,"err":"no luck","request_id":1`},
		{"another's, a key of the line", nil, nil, nil, []any{"error_scope", 1}, false, `"request_id":"r","err":"no luck","error_scope":1`},
		{"another's, a key of the line", wins, nil, nil, []any{"error_scope", 1}, false, `"request_id":"r",` + group + `,"err":"no luck"`},
		{"another's, a key of the line", both, nil, nil, []any{"error_scope", 1}, false, `"request_id":"r",` + group + `,"err":"no luck","error_scope":1`},
		{"another's, a key of With", nil, nil, []any{"error_scope", 1}, nil, false, `"error_scope":1,"request_id":"r","err":"no luck"`},
		{"another's, a key of With", wins, nil, []any{"error_scope", 1}, nil, false, `"error_scope":1,"request_id":"r","err":"no luck"`},
		{"another's, a key of With", both, nil, []any{"error_scope", 1}, nil, false, `"error_scope":1,"request_id":"r",` + group + `,"err":"no luck"`},
		{"another's, a key of the scope", nil, []slog.Attr{slog.Int("error_scope", 1)}, nil, nil, false, `"request_id":"r","error_scope":1,"err":"no luck"`},
		{"another's, a key of the scope", wins, []slog.Attr{slog.Int("error_scope", 1)}, nil, []any{"error_scope", 2}, false, `"request_id":"r","error_scope":1,"err":"no luck"`},
		{"another's, a key of the scope", both, []slog.Attr{slog.Int("error_scope", 1)}, nil, []any{"error_scope", 2}, false,
			`"request_id":"r","error_scope":1,"err":"no luck","error_scope":2`},
		{"another's, a key of the line outside the group", &logadapters.Options{Group: "scope"}, nil, nil, []any{"error_scope", 1}, false,
			`"scope":{"request_id":"r",` + group + `},"err":"no luck","error_scope":1`},
	} {
		for name, log := range errorLoggers {
			policy := "defaults"
			if c.opts != nil {
				policy = fmt.Sprintf("%+v", c.opts.Duplicates)
			}
			t.Run(c.rule+"/"+policy+"/"+name, func(t *testing.T) {
				var out bytes.Buffer
				scope.New("request_id", "r").Run(func() {
					err := elsewhere
					if c.own {
						scope.With("order", 7).Run(func() { err = scope.Error(errLuck) })
					}
					scope.SetAttrs(c.set...)
					log(&out, c.opts, c.with, append([]any{"err", err}, c.args...))
				})
				if got, want := out.String(), `{"msg":"m",`+c.want+"}\n"; got != want {
					t.Errorf("\ngot  %swant %s", got, want)
				}
			})
		}
	}
}

// With zeroh.MarshalError the fields of an error are in an object of their own, so the line's keys
// and Duplicates make no difference.
func TestErrorsAndDuplicatesInZerolog(t *testing.T) {
	saved := zerolog.ErrorMarshalFunc
	zerolog.ErrorMarshalFunc = zeroh.MarshalError
	defer func() { zerolog.ErrorMarshalFunc = saved }()
	var elsewhere error
	scope.New("request_id", "other").Run(func() { elsewhere = scope.Error(errLuck) })
	for _, policy := range []logadapters.Duplicates{logadapters.EventWins, logadapters.ScopeWins, logadapters.KeepBoth} {
		scope.New("request_id", "r").Run(func() {
			var own error
			scope.With("order", 7, "error_scope", 8, "message", 9).Run(func() { own = scope.Error(errLuck) })
			for err, object := range map[error]string{
				own:       `{"message":"no luck","request_id":"r","order":7,"error_scope":8}`,
				elsewhere: `{"message":"no luck","request_id":"other"}`,
			} {
				var out bytes.Buffer
				l := zerolog.New(&out).Hook(zeroh.New(&logadapters.Options{Duplicates: policy}))
				l.Info().Int("order", 1).Int("error_scope", 2).Err(err).Msg("m")
				want := `{"level":"info","order":1,"error_scope":2,"error":` + object + `,"request_id":"r","message":"m"}` + "\n"
				if out.String() != want {
					t.Errorf("%v:\ngot  %swant %s", policy, out.String(), want)
				}
			}
		})
	}
}

// What is written of the error itself is what is written of the one that Error was given.
func TestAnErrorIsWrittenAsItIs(t *testing.T) {
	for what, err := range map[string]error{
		"an error":         errLuck,
		"with a stack":     verbose{},
		"with causes":      causes{errLuck, io.EOF},
		"joined":           errors.Join(errLuck, io.EOF),
		"that is JSON":     marshaler{},
		"a nil pointer":    (*pointer)(nil),
		"one that is text": text{},
	} {
		for name, log := range errorLoggers {
			t.Run(what+"/"+name, func(t *testing.T) {
				var got, want bytes.Buffer
				scope.New().Run(func() {
					log(&want, nil, []any{"a", err}, []any{"b", err, "list", []error{err}})
					log(&got, nil, []any{"a", scope.Error(err)}, []any{"b", scope.Error(scope.Error(err)), "list", []error{scope.Error(err)}})
				})
				if got.String() != want.String() {
					t.Errorf("\ngot  %swant %s", got.String(), want.String())
				}
			})
		}
	}
}

type (
	verbose   struct{}
	causes    []error
	marshaler struct{}
	pointer   struct{ s string }
	text      struct{}
)

func (verbose) Error() string { return "short" }
func (verbose) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('+') {
		_, _ = io.WriteString(f, "short\nwith a stack")
		return
	}
	_, _ = io.WriteString(f, "short")
}
func (c causes) Error() string                 { return fmt.Sprint(len(c), " causes") }
func (c causes) Errors() []error               { return c }
func (marshaler) Error() string                { return "an object" }
func (marshaler) MarshalJSON() ([]byte, error) { return []byte(`{"code":7}`), nil }
func (p *pointer) Error() string               { return p.s }
func (text) Error() string                     { return "as an error" }
func (text) MarshalText() ([]byte, error)      { return []byte("as a text"), nil }

type selfLogging struct{ log func(err error) }

func (selfLogging) Error() string { return "logs" }
func (e selfLogging) Unwrap() error {
	e.log(e)
	return nil
}

type maskedErrors []error

func (maskedErrors) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	enc.AppendString("<masked>")
	return nil
}

// Looking for an error's scope calls its Unwrap, which may log, and knows zap.Errors alone.
func TestHostileErrors(t *testing.T) {
	marked := failed(errLuck)
	scope.New("request_id", "r").Run(func() { marked = failed(errLuck) })
	for name, log := range errorLoggers {
		for _, s := range []scope.Scope{{}, scope.New("request_id", "r")} {
			var out bytes.Buffer
			s.Run(func() {
				log(&out, nil, nil, []any{"err", selfLogging{func(err error) { log(io.Discard, nil, nil, []any{"err", err}) }}})
			})
			if !bytes.Contains(out.Bytes(), []byte(`"err":"logs"`)) {
				t.Errorf("%s wrote %s", name, out.String())
			}
		}
	}
	var out bytes.Buffer
	errorLoggers["zap"](&out, nil, nil, []any{"errs", maskedErrors{marked}, "err", marked})
	if !bytes.Contains(out.Bytes(), []byte(`"errs":["<masked>"]`)) {
		t.Errorf("zap wrote %s", out.String())
	}
	out.Reset()
	drop := &logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) { return a, a.Key != "order" }}
	errorLoggers["slog"](&out, drop, nil, []any{"err", marked})
	if bytes.Contains(out.Bytes(), []byte("order")) || !bytes.Contains(out.Bytes(), []byte(`"error_scope":{"request_id":"r"`)) {
		t.Errorf("slog wrote %s", out.String())
	}
}

// A line has the shared fields of one moment.
func TestALineHasTheSharedFieldsOfOneMoment(t *testing.T) {
	for name, log := range errorLoggers {
		scope.New().Run(func() {
			scope.ShareAttrs(slog.Int("a", 0), slog.Float64("b", 0))
			stop, done := make(chan struct{}), make(chan struct{})
			go scope.Wrap(func() {
				defer close(done)
				for i := 1; ; i++ {
					select {
					case <-stop:
						return
					default:
						scope.ShareAttrs(slog.Int("a", i), slog.Float64("b", float64(i)))
					}
				}
			})()
			for range 300 {
				var out bytes.Buffer
				log(&out, nil, nil, nil)
				var line struct{ A, B float64 }
				if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.A != line.B {
					t.Errorf("%s wrote %s", name, out.String())
					break
				}
			}
			close(stop)
			<-done
		})
	}
}
