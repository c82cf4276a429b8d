package taskscope_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	zlog "github.com/rs/zerolog/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/singleflight"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
	"github.com/taskscope/taskscope/scope/scopetest"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

// request runs fn as a request of this id does.
func request(id string, fn func()) { scope.New("request_id", id).Run(fn) }

// spawned calls fn in a goroutine of a plain go statement, and waits for it.
func spawned(fn func()) {
	done := make(chan struct{})
	go func() { defer close(done); fn() }()
	<-done
}

// A worker is a pool's: it runs what it is given, one after another.
type worker chan func()

func startWorker() worker {
	w := make(worker)
	go func() {
		for job := range w {
			job()
		}
	}()
	return w
}

func (w worker) do(job func()) {
	done := make(chan struct{})
	w <- func() { defer close(done); job() }
	<-done
}

func info() { slog.Info("line") }

// A way is one to write lines, and what these say: "line key=value", with the keys in order.
type way struct {
	write func(t *testing.T, r *scopetest.Recorder)
	lines string
}

// A row is one of docs/unstamped.md: what goes wrong, and what helps.
type row struct {
	wrong, right []way
	inherits     bool // it is about a scope that a plain go statement passes on
}

// pair is a row of one way each.
func pair(wrong func(t *testing.T, r *scopetest.Recorder), lines string, right func(t *testing.T, r *scopetest.Recorder), wanted string) row {
	return row{wrong: []way{{wrong, lines}}, right: []way{{right, wanted}}}
}

func (r row) inheriting() row { r.inherits = true; return r }

// with returns a way to write a line of request r-1 with these options.
func with(opts *logadapters.Options, args ...any) func(t *testing.T, r *scopetest.Recorder) {
	return func(t *testing.T, r *scopetest.Recorder) {
		logger := slog.New(slogh.New(r, opts))
		request("r-1", func() {
			scope.Set("user", "u1")
			scope.Set("level", "gold")
			logger.Info("line", args...)
		})
	}
}

// An async is a handler that writes lines on a goroutine of its own.
type async struct{ slog.Handler }

func (a async) Handle(ctx context.Context, rec slog.Record) (err error) {
	done := make(chan struct{})
	go scope.Outside(func() { defer close(done); err = a.Handler.Handle(ctx, rec) }) // as if main had started it
	<-done
	return err
}

// A header is a message's, for package propagation.
type header map[string]string

func (h header) Get(key string) string { return h[key] }
func (h header) Set(key, value string) { h[key] = value }
func (h header) Keys() []string        { return slices.Collect(maps.Keys(h)) }

type chatty struct{}

func (chatty) LogValue() slog.Value {
	slog.Info("line")
	return slog.StringValue("v")
}

var secret = scope.NewKey[string]("unstamped_hidden", scope.Hidden)

// zapsFirst is what a package variable gets, before main has replaced it.
var zapsFirst = zap.L()

// slogsFirst is the same for slog.
var slogsFirst = slog.Default()

var unstamped = map[string]row{
	// ---- the logger doesn't look ----

	"a child was made (`log.With()`, `Level`, `Sample`) before the hook was set, such as in a package variable": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			zlog.Logger = zerolog.New(r.Writer())
			child := zlog.With().Str("part", "db").Logger()
			zlog.Logger = zlog.Hook(zeroh.New(nil))
			request("r-1", func() { child.Info().Msg("line") })
		}, "line part=db",
		func(t *testing.T, r *scopetest.Recorder) {
			zlog.Logger = zerolog.New(r.Writer()).Hook(zeroh.New(nil))
			child := zlog.With().Str("part", "db").Logger()
			request("r-1", func() { child.Info().Msg("line") })
		}, "line part=db request_id=r-1"),

	"`zap.L()` was kept in a variable before `zap.ReplaceGlobals`: at first it is a logger that writes nothing": {
		wrong: []way{
			{func(t *testing.T, r *scopetest.Recorder) {
				request("r-1", func() { zapsFirst.Info("line") })
			}, ""},
			{func(t *testing.T, r *scopetest.Recorder) {
				zap.ReplaceGlobals(zap.New(r.Core()))
				kept := zap.L()
				zap.ReplaceGlobals(zap.New(r.Core(), zaph.WrapCore(nil)))
				request("r-1", func() { kept.Info("line") })
			}, "line"},
		},
		right: []way{{func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() { zap.L().Info("line") })
		}, "line request_id=r-1"}},
	},

	"`slog.Default()` or `slog.With` was kept in a variable before `slog.SetDefault`": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			slog.SetDefault(slog.New(r))
			kept, child := slog.Default(), slog.With("part", "db")
			slog.SetDefault(slog.New(slogh.New(r, nil)))
			request("r-1", func() { kept.Info("line"); child.Info("line") })
		}, "line; line part=db",
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() { slog.Info("line"); slog.With("part", "db").Info("line") })
		}, "line request_id=r-1; line part=db request_id=r-1"),

	"`slog.Default()` was kept, or `slog.With` called, before the first `slog.SetDefault`, such as in a package variable: that logger writes text to package log": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() { slogsFirst.Warn("line", "n", 1); slogsFirst.With("part", "db").Info("line") })
		}, "WARN line n=1 request_id=r-1; INFO line part=db request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() { slog.Warn("line", "n", 1); slog.With("part", "db").Info("line") })
		}, "line n=1 request_id=r-1; line part=db request_id=r-1"),

	"it has a writer of its own: `log.New`, or `log.SetOutput` after `slog.SetDefault`": {
		wrong: []way{
			{func(t *testing.T, r *scopetest.Recorder) {
				logger := log.New(texts{r}, "", 0)
				request("r-1", func() { logger.Print("line") })
			}, "line"},
			{func(t *testing.T, r *scopetest.Recorder) {
				log.SetOutput(texts{r})
				request("r-1", func() { log.Print("line") })
			}, "line"},
		},
		right: []way{{func(t *testing.T, r *scopetest.Recorder) {
			logger := slog.NewLogLogger(slog.Default().Handler(), slog.LevelInfo)
			request("r-1", func() { logger.Print("line") })
		}, "line request_id=r-1"}},
	},

	"a later `zap.WrapCore` put a core beside the stamped one, or in its place": {
		wrong: []way{
			{func(t *testing.T, r *scopetest.Recorder) {
				logger := zap.New(r.Core(), zaph.WrapCore(nil), zap.WrapCore(func(zapcore.Core) zapcore.Core { return r.Core() }))
				request("r-1", func() { logger.Info("line") })
			}, "line"},
			{func(t *testing.T, r *scopetest.Recorder) {
				logger := zap.New(r.Core(), zaph.WrapCore(nil), zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, r.Core()) }))
				request("r-1", func() { logger.Info("line") })
			}, "line request_id=r-1; line"},
		},
		right: []way{
			{func(t *testing.T, r *scopetest.Recorder) {
				logger := zap.New(r.Core(), zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, r.Core()) }), zaph.WrapCore(nil))
				request("r-1", func() { logger.Info("line") })
			}, "line request_id=r-1; line request_id=r-1"},
			{func(t *testing.T, r *scopetest.Recorder) {
				logger := zap.New(zaph.New(zapcore.NewTee(r.Core(), r.Core()), nil))
				request("r-1", func() { logger.Info("line") })
			}, "line request_id=r-1; line request_id=r-1"},
		},
	},

	"it wraps the adapter, which then runs on the handler's goroutine": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			logger := slog.New(async{slogh.New(r, nil)})
			request("r-1", func() { logger.Info("line") })
		}, "line",
		func(t *testing.T, r *scopetest.Recorder) {
			logger := slog.New(slogh.New(async{r}, nil))
			request("r-1", func() { logger.Info("line") })
		}, "line request_id=r-1"),

	// ---- nothing is bound ----

	"`scope.New`, `With` or `Detach` was called, but its result was never bound": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			s := scope.New("request_id", "r-1")
			_, _ = s.With("user", "u1"), s.Detach()
			info()
		}, "line",
		func(t *testing.T, r *scopetest.Recorder) {
			s := scope.New("request_id", "r-1")
			s.With("user", "u1").Run(info)
		}, "line request_id=r-1 user=u1"),

	"the events come through a channel, but the scope doesn't": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			events := make(chan string, 1)
			request("r-1", func() { events <- "line" })
			slog.Info(<-events)
		}, "line",
		func(t *testing.T, r *scopetest.Recorder) {
			type event struct {
				in   scope.Scope
				text string
			}
			events := make(chan event, 1)
			request("r-1", func() { events <- event{scope.Current(), "line"} })
			e := <-events
			e.in.Run(func() { slog.Info(e.text) })
		}, "line request_id=r-1"),

	"the workers were started where nothing was bound": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			pool := startWorker()
			defer close(pool)
			request("r-1", func() { pool.do(info) })
		}, "line",
		func(t *testing.T, r *scopetest.Recorder) {
			pool := startWorker()
			defer close(pool)
			request("r-1", func() { pool.do(scope.Wrap(info)) })
		}, "line request_id=r-1"),

	"the runtime starts a goroutine for it, which inherits nothing": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			logged := make(chan struct{})
			request("r-1", func() { time.AfterFunc(0, func() { defer close(logged); info() }) })
			<-logged
		}, "line",
		func(t *testing.T, r *scopetest.Recorder) {
			logged := make(chan struct{})
			request("r-1", func() { time.AfterFunc(0, scope.Wrap(func() { defer close(logged); info() })) })
			<-logged
		}, "line request_id=r-1"),

	"the runtime calls it on a goroutine that serves all of them": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			logged := make(chan struct{})
			request("r-1", func() { runtime.AddCleanup(new([1 << 10]byte), func(int) { defer close(logged); info() }, 0) })
			collect(t, logged)
		}, "line",
		func(t *testing.T, r *scopetest.Recorder) {
			logged := make(chan struct{})
			request("r-1", func() {
				runtime.AddCleanup(new([1 << 10]byte), func(s scope.Scope) { defer close(logged); s.Run(info) }, scope.Current())
			})
			collect(t, logged)
		}, "line request_id=r-1"),

	"the work came through a message broker or from another process": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			h := header{}
			request("r-1", func() { h.Set("from", "shop") })
			info()
		}, "line",
		func(t *testing.T, r *scopetest.Recorder) {
			h := header{}
			request("r-1", func() { propagation.Inject(scope.Current(), h) })
			propagation.Extract(h).Run(info)
		}, "line request_id=r-1"),

	"it set profiler labels from a context that isn't one of `scope.NewContext`: `pprof.Do` with `context.Background()`": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				pprof.Do(context.Background(), pprof.Labels("span", "s"), func(context.Context) { info() })
			})
		}, "line",
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				ctx := scope.NewContext(context.Background(), scope.Current())
				pprof.Do(ctx, pprof.Labels("span", "s"), func(context.Context) { info() })
			})
		}, "line request_id=r-1").inheriting(),

	"the carrier is portable: the build tag `purego`, or `TASKSCOPE_CARRIER`": pair(
		func(t *testing.T, r *scopetest.Recorder) { slog.Info(onPortable(t, "go")) }, "line",
		func(t *testing.T, r *scopetest.Recorder) { slog.Info(onPortable(t, "scope.Go")) }, "line request_id=r-1"),

	// ---- some fields are missing, or stand elsewhere ----

	"a goroutine has a copy: its `Set` changes nothing elsewhere": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				spawned(func() { scope.Set("user", "u1") })
				info()
			})
		}, "line request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				var user string
				spawned(func() { user = "u1" })
				scope.Set("user", user)
				info()
			})
		}, "line request_id=r-1 user=u1"),

	"it was Set inside a `Run`, and ended with it": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				scope.Run(func() { scope.Set("user", "u1") })
				info()
			})
		}, "line request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				scope.Set("user", "u1")
				scope.Run(func() {})
				info()
			})
		}, "line request_id=r-1 user=u1"),

	"`scope.New` begins another task, without them": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() { scope.New("item", 1).Run(info) })
		}, "line item=1",
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() { scope.With("item", 1).Run(info) })
		}, "line item=1 request_id=r-1"),

	"`iter.Pull` runs it on a goroutine that has the scope as of `Pull`": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				next, stop := iter.Pull(once)
				defer stop()
				scope.Set("step", 2)
				next()
			})
		}, "line request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				scope.Set("step", 2)
				for range once {
				}
			})
		}, "line request_id=r-1 step=2").inheriting(),

	"it comes as baggage, which an entry takes only from senders that it trusts": pair(
		func(t *testing.T, r *scopetest.Recorder) { consume(t, &jobscope.Options{}) }, "line job.name=pack request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) { consume(t, &jobscope.Options{TrustBaggage: true}) },
		"line job.name=pack request_id=r-1 unstamped_propagated=eu"),

	"its key is declared `scope.Hidden`": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() { secret.Set("s3cret"); info() })
		}, "line request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) {
			shown := scope.NewKey[string]("unstamped_redacted", scope.Redacted)
			request("r-1", func() {
				secret.Set("s3cret")
				shown.Set("s3cret")
				if v, ok := scope.Get(secret.Name()); !ok || v != "s3cret" {
					t.Errorf("Get gives %v, %v", v, ok)
				}
				info()
			})
		}, "line request_id=r-1 unstamped_redacted=[REDACTED]"),

	"`Options.Filter` dropped or renamed it": pair(
		with(&logadapters.Options{Filter: func(a slog.Attr) (slog.Attr, bool) {
			if a.Key == "request_id" {
				a.Key = "rid"
			}
			return a, a.Key != "user"
		}}), "line rid=r-1",
		with(nil), "line request_id=r-1 user=u1"),

	"there are more than `Options.MaxFields`": pair(
		with(&logadapters.Options{MaxFields: 1}), "line scope_dropped=1 user=u1",
		with(&logadapters.Options{MaxFields: 3}), "line request_id=r-1 user=u1"),

	"the line has a field of its own with this key, and that one wins": pair(
		with(nil, "user", "mine"), "line request_id=r-1 user=mine",
		with(&logadapters.Options{Duplicates: logadapters.ScopeWins}, "user", "mine"), "line request_id=r-1 user=u1"),

	"the logger writes this key itself": {
		wrong: []way{{with(nil), "line request_id=r-1 user=u1"}},
		right: []way{
			{with(&logadapters.Options{Group: "scope"}), "line scope.level=gold scope.request_id=r-1 scope.user=u1"},
			{with(&logadapters.Options{Duplicates: logadapters.KeepBoth}), "line level=gold request_id=r-1 user=u1"},
		},
	},

	"it is in the scope and in the event, whose keys a hook can't see": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				var b strings.Builder
				zlog.Logger = zerolog.New(&b).Hook(zeroh.New(nil))
				zlog.Info().Str("request_id", "mine").Msg("line")
				slog.Info("twice", "n", strings.Count(b.String(), `"request_id":`), "request_id", "")
			})
		}, "twice n=2 request_id=",
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() { zlog.Info().Str("upstream_id", "mine").Msg("line") })
		}, "line request_id=r-1 upstream_id=mine"),

	"the core isn't zap's own, and had the field before `zaph.New` got it, or writes the key itself": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			foreignCore(func(core zapcore.Core) *zap.Logger {
				return zap.New(zaph.New(core.With([]zap.Field{zap.String("request_id", "own")}), nil))
			})
		}, "keys n=2",
		func(t *testing.T, r *scopetest.Recorder) {
			foreignCore(func(core zapcore.Core) *zap.Logger {
				return zap.New(zaph.New(core, nil)).With(zap.String("request_id", "own"))
			})
		}, "keys n=1"),

	"a middleware between `httpscope.Handler` and the mux copies the request: `r.WithContext`": pair(
		func(t *testing.T, r *scopetest.Recorder) { lastLine(new(http.ServeMux), nil) }, "line request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) {
			mux := new(http.ServeMux)
			lastLine(mux, httpscope.MuxRoute(mux))
		}, "line http.route=/orders/{id} request_id=r-1"),

	"the slog handler had an open group before it was given to `slogh.New`": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			logger := slog.New(slogh.New(r.WithGroup("g"), nil))
			request("r-1", func() { logger.Info("line", "n", 1) })
		}, "line g.n=1 g.request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) {
			logger := slog.New(slogh.New(r, nil)).WithGroup("g")
			request("r-1", func() { logger.Info("line", "n", 1) })
		}, "line g.n=1 request_id=r-1"),

	"a logger that `L` of `zeroh.For` returned was kept": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			logger := zeroh.For(zerolog.New(r.Writer()), nil)
			request("r-1", func() {
				kept := logger.L()
				scope.Set("user", "u1")
				kept.Info().Msg("line")
			})
		}, "line request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) {
			logger := zeroh.For(zerolog.New(r.Writer()), nil)
			request("r-1", func() {
				scope.Set("user", "u1")
				logger.L().Info().Msg("line")
			})
		}, "line request_id=r-1 user=u1"),

	"a method of one of the scope's values, such as `LogValue`, logs it": {
		wrong: []way{{func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				scope.Set("chatty", chatty{})
				slog.Info("outer")
			})
		}, "line request_id=r-1; outer chatty=v request_id=r-1"}},
	},

	"its level is below the logger's": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			logger := zap.New(r.Core(), zap.IncreaseLevel(zap.InfoLevel), zaph.WrapCore(nil))
			request("r-1", func() { logger.Debug("line") })
		}, "",
		func(t *testing.T, r *scopetest.Recorder) {
			logger := zap.New(r.Core(), zap.IncreaseLevel(zap.DebugLevel), zaph.WrapCore(nil))
			request("r-1", func() { logger.Debug("line") })
		}, "line request_id=r-1"),

	// ---- late, or another's ----

	"a plain `go` outlived its task": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			over, done := make(chan struct{}), make(chan struct{})
			request("r-1", func() { go func() { defer close(done); <-over; info() }() })
			close(over)
			<-done
		}, "line request_id=r-1 scope_ended=true",
		func(t *testing.T, r *scopetest.Recorder) {
			over := make(chan struct{})
			request("r-1", func() { scope.Go(func() { <-over; info() }) })
			close(over)
			if err := scope.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}, "line request_id=r-1").inheriting(),

	"a pool started its worker inside a request; the worker inherited its fields": row{
		wrong: []way{
			{func(t *testing.T, r *scopetest.Recorder) { lazyPool(startWorker, plain) }, "line request_id=r-1; line request_id=r-1 scope_ended=true"},
			{func(t *testing.T, r *scopetest.Recorder) {
				starting(func(p *starter) { p.submit(scope.Wrap(failing)) })
			}, "line request_id=r-1; panic request_id=r-1; line request_id=r-2; panic request_id=r-1 scope_ended=true"},
			{func(t *testing.T, r *scopetest.Recorder) {
				starting(func(p *starter) { scope.Outside(func() { p.submit(scope.Wrap(failing)) }) })
			}, "line; panic; line; panic"},
		},
		right: []way{
			{func(t *testing.T, r *scopetest.Recorder) { lazyPool(startWorker, scope.Wrap) }, "line request_id=r-2; line request_id=r-3"},
			{func(t *testing.T, r *scopetest.Recorder) { lazyPool(outside, scope.Wrap) }, "line request_id=r-2; line request_id=r-3"},
			{func(t *testing.T, r *scopetest.Recorder) { lazyPool(outside, plain) }, "line; line"},
			{func(t *testing.T, r *scopetest.Recorder) {
				starting(func(p *starter) {
					fn := scope.Wrap(failing)
					scope.Outside(func() { p.submit(fn) })
				})
			}, "line request_id=r-1; panic; line request_id=r-2; panic"},
			{func(t *testing.T, r *scopetest.Recorder) {
				slog.SetDefault(slog.New(slogh.New(r, &logadapters.Options{Ended: logadapters.DropEnded})))
				lazyPool(startWorker, plain)
			}, "line request_id=r-1; line scope_ended=true"},
		},
	}.inheriting(),

	"the first request started a goroutine that serves all: `sync.Once`, a cache's janitor. `scope.Clear` in it removes the fields, not the task": {
		wrong: []way{
			{func(t *testing.T, r *scopetest.Recorder) { janitor(startWorker, func() {}) }, "line request_id=r-1 scope_ended=true"},
			{func(t *testing.T, r *scopetest.Recorder) { janitor(startWorker, scope.Clear) }, "line scope_ended=true"},
		},
		right:    []way{{func(t *testing.T, r *scopetest.Recorder) { janitor(outside, func() {}) }, "line"}},
		inherits: true,
	},

	"the first call opened the connection, whose goroutines serve all calls: gRPC, database/sql, HTTP": row{
		wrong: []way{{func(t *testing.T, r *scopetest.Recorder) {
			connection(t, nil, func(connect func()) { request("r-1", connect) })
		}, "line request_id=r-1 scope_ended=true"}},
		right: []way{
			{func(t *testing.T, r *scopetest.Recorder) {
				connection(t, nil, func(connect func()) { request("r-1", func() { scope.Outside(connect) }) })
			}, "line"},
			{func(t *testing.T, r *scopetest.Recorder) {
				connection(t, new(httpscope.TransportOptions), func(connect func()) { request("r-1", connect) })
			}, "line request_id=r-2"},
		},
	}.inheriting(),

	"a bare `Set` on a goroutine that serves many: a kept-alive connection, a consumer's loop": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			spawned(func() {
				for _, id := range []string{"r-1", "r-2"} {
					scope.Set("request_id", id)
					if id == "r-1" {
						scope.Set("user", "u1")
					}
					info()
				}
			})
		}, "line request_id=r-1 user=u1; line request_id=r-2 user=u1",
		func(t *testing.T, r *scopetest.Recorder) {
			spawned(func() {
				for _, id := range []string{"r-1", "r-2"} {
					scope.New("request_id", id).Run(func() {
						if id == "r-1" {
							scope.Set("user", "u1")
						}
						info()
					})
				}
			})
		}, "line request_id=r-1 user=u1; line request_id=r-2"),

	"with `context.AfterFunc`, the goroutine that cancels starts it": pair(
		func(t *testing.T, r *scopetest.Recorder) { cancelled(plain) }, "line request_id=r-2",
		func(t *testing.T, r *scopetest.Recorder) { cancelled(scope.Wrap) }, "line request_id=r-1").inheriting(),

	"singleflight runs it for the first caller": pair(
		func(t *testing.T, r *scopetest.Recorder) { shared(t, info, func() {}) }, "line request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) { shared(t, func() {}, info) }, "line request_id=r-1; line request_id=r-2"),

	"the context carries that task's scope, and explicit beats ambient": pair(
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-1", func() {
				ctx := scope.NewContext(t.Context(), scope.Current())
				request("r-2", func() { slog.InfoContext(ctx, "line") })
			})
		}, "line request_id=r-1",
		func(t *testing.T, r *scopetest.Recorder) {
			request("r-2", func() {
				info()
				slog.InfoContext(scope.NewContext(t.Context(), scope.Current()), "line")
			})
		}, "line request_id=r-2; line request_id=r-2"),
}

func plain(fn func()) func() { return fn }

// consume has request r-1 send a message, and a job take it and log.
func consume(t *testing.T, opts *jobscope.Options) {
	h := header{}
	region := scope.NewKey[string]("unstamped_propagated", scope.Propagated)
	request("r-1", func() {
		region.Set("eu")
		propagation.Inject(scope.Current(), h)
	})
	opts.Headers = h
	if err := jobscope.Run(t.Context(), "pack", func(context.Context) error { info(); return nil }, opts); err != nil {
		t.Error(err)
	}
}

// A foreign core is one that zaph can't look into.
type foreign struct{ zapcore.Core }

func (f foreign) With(fields []zap.Field) zapcore.Core { return foreign{f.Core.With(fields)} }

func (f foreign) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return to.AddCore(e, f)
}

// foreignCore has a logger of such a core write a line of request r-1, and says how often it has the key.
func foreignCore(logger func(zapcore.Core) *zap.Logger) {
	var b testkit.Buffer
	l := logger(foreign{zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), &b, zap.InfoLevel)})
	request("r-1", func() { l.Info("line") })
	slog.Info("keys", "n", strings.Count(b.String(), `"request_id":`))
}

// once is an iterator of one value that logs.
func once(yield func(int) bool) {
	info()
	yield(1)
}

func outside() (w worker) {
	scope.Outside(func() { w = startWorker() })
	return w
}

// lazyPool has request r-1 start a pool. r-2 and r-3 give it a job, the latter when r-1 is over.
func lazyPool(start func() worker, wrap func(func()) func()) {
	var pool worker
	request("r-1", func() {
		pool = start()
		request("r-2", func() { pool.do(wrap(info)) })
	})
	request("r-3", func() { pool.do(wrap(info)) })
	close(pool)
}

// A starter is a pool that starts its worker when it is given the first job. The worker logs panics.
type starter struct{ worker worker }

func (s *starter) submit(job func()) {
	if s.worker == nil {
		s.worker = startWorker()
	}
	s.worker.do(func() {
		defer func() {
			if recover() != nil {
				slog.Info("panic")
			}
		}()
		job()
	})
}

func failing() { info(); panic("no database") }

// starting has requests r-1 and r-2 submit a job to a starter, one after the other.
func starting(submit func(*starter)) {
	var pool starter
	request("r-1", func() { submit(&pool) })
	request("r-2", func() { submit(&pool) })
	close(pool.worker)
}

// janitor has request r-1 start a goroutine for all, which first calls begin, and logs when the request is over.
func janitor(start func() worker, begin func()) {
	var first sync.Once
	var w worker
	request("r-1", func() { first.Do(func() { w = start(); w.do(begin) }) })
	w.do(info)
	close(w)
}

// lastLine serves a request by mux, behind a middleware that copies the request, and writes its last line.
func lastLine(mux *http.ServeMux, route func(*http.Request) string) {
	mux.HandleFunc("/orders/{id}", func(http.ResponseWriter, *http.Request) {})
	copies := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, r.WithContext(r.Context())) })
	req := httptest.NewRequest("", "/orders/7", nil)
	req.Header.Set("X-Request-Id", "r-1")
	httpscope.Handler(copies, &httpscope.Options{
		Names: map[httpscope.Field]string{httpscope.Method: ""},
		Route: route,
		Log: func(ctx context.Context, level slog.Level, _ string, _ ...slog.Attr) {
			slog.LogAttrs(ctx, level, "line")
		},
	}).ServeHTTP(httptest.NewRecorder(), req)
}

// connection has connect called as the first request of a client does it. A hook of the second one logs.
// With options the client has a Transport of httpscope.
func connection(t *testing.T, opts *httpscope.TransportOptions, first func(connect func())) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	if opts != nil {
		client.Transport = httpscope.Transport(client.Transport, opts)
	}
	get := func(ctx context.Context) {
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	first(func() { get(t.Context()) })
	request("r-2", func() {
		get(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotFirstResponseByte: info}))
	})
}

// cancelled has request r-2 cancel what r-1 waits for.
func cancelled(wrap func(func()) func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	request("r-1", func() {
		context.AfterFunc(ctx, wrap(func() { defer close(done); info() }))
		request("r-2", func() { cancel(); <-done })
	})
}

// shared has requests r-1 and r-2 want the same at the same time. Each calls each afterwards.
func shared(t *testing.T, work, each func()) {
	var group singleflight.Group
	started, second, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go request("r-1", func() {
		defer close(done)
		_, _, _ = group.Do("key", func() (any, error) { close(started); <-second; work(); return nil, nil })
		each()
	})
	<-started
	request("r-2", func() {
		result := group.DoChan("key", func() (any, error) { t.Error("it runs twice"); return nil, nil })
		close(second)
		<-result
		<-done
		each()
	})
}

// collect makes the collector run until done is closed.
func collect(t *testing.T, done <-chan struct{}) {
	t.Helper()
	for end := time.Now().Add(testkit.Patience); time.Now().Before(end); {
		runtime.GC()
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
	}
	t.Error("no cleanup")
}

// texts records each text that is written as a line of its own.
type texts struct{ *scopetest.Recorder }

func (t texts) Write(p []byte) (int, error) {
	return len(p), t.Handle(context.Background(), slog.Record{Message: strings.TrimSuffix(string(p), "\n")})
}

// onPortable returns what TestOnThePortablePath says in a process of its own.
func onPortable(t *testing.T, statement string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOnThePortablePath$", "-test.v")
	cmd.Env = append(os.Environ(), "TASKSCOPE_CARRIER=portable", "TASKSCOPE_TEST_STATEMENT="+statement)
	out, err := cmd.CombinedOutput()
	m := regexp.MustCompile(`(?m)^lines: (.*?)\r?$`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(m[1])
}

func TestOnThePortablePath(t *testing.T) {
	statement := os.Getenv("TASKSCOPE_TEST_STATEMENT")
	if statement == "" {
		t.Skip("TestEachRowOfUnstamped runs it")
	}
	r := scopetest.Record(t)
	request("r-1", func() {
		if statement == "go" {
			spawned(info)
			return
		}
		scope.Go(info)
		if err := scope.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
	fmt.Println("lines: " + rendered(r))
}

// rendered returns the lines of r as a way has them.
func rendered(r *scopetest.Recorder) string {
	var lines []string
	for _, line := range r.Lines() {
		text := line.Message
		for _, key := range slices.Sorted(maps.Keys(line.Fields)) {
			text += " " + key + "=" + line.String(key)
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "; ")
}

// Each row of docs/unstamped.md is as it says: what is written first goes wrong, and what helps helps.
func TestEachRowOfUnstamped(t *testing.T) {
	text, err := os.ReadFile("docs/unstamped.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| (.+?) \| (.+?) \| (.+?) \|\r?$`).FindAllStringSubmatch(string(text), -1) {
		if m[1] != "what you see" {
			listed = append(listed, m[2])
		}
	}
	for _, why := range listed {
		if _, ok := unstamped[why]; !ok {
			t.Errorf("no test for the row %q", why)
		}
	}
	for why, row := range unstamped {
		if !slices.Contains(listed, why) {
			t.Errorf("docs/unstamped.md has no row %q", why)
		}
		for what, ways := range map[string][]way{"wrong": row.wrong, "right": row.right} {
			for i, way := range ways {
				t.Run(fmt.Sprintf("%s/%s-%d", why, what, i), func(t *testing.T) {
					if row.inherits && scope.Carrier() == "portable" {
						t.Skip("a plain go statement inherits nothing here")
					}
					scopetest.NoLeak(t)
					r := scopetest.Record(t)
					way.write(t, r)
					if got := rendered(r); got != way.lines {
						t.Errorf("the lines are %q, want %q", got, way.lines)
					}
				})
			}
		}
	}
}

// Whoever reads about an adapter finds the page.
func TestAdaptersLeadToUnstamped(t *testing.T) {
	for _, folder := range []string{"slogh", "slogh/xslogh", "zaph", "zeroh"} {
		text, err := os.ReadFile(folder + "/doc.go")
		if err != nil || !strings.Contains(string(text), "/docs/unstamped.md\n") {
			t.Errorf("%s/doc.go has no link to docs/unstamped.md, %v", folder, err)
		}
	}
}
