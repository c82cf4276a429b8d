package interop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog/log"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

var requests = flag.Int("requests", 1500, "how many requests the torture sends; a third under -race")

// Many requests at once through everything: each has its own id, which all that it does says once
// more, by hand. Handlers panic, abort, outlive their client and leave goroutines behind, Runs are
// nested, and connections are used again. No line, record or span is another request's.
func TestTorture(t *testing.T) {
	n := *requests
	if testkit.Race {
		n /= 3
	}
	tel := start(t, overGRPC)
	h := tel.otelhttp(httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tel.tortured(w, r) }), &httpscope.Options{
		Fields: otelscope.Fields,
		Finish: otelscope.Finish,
		Log:    slog.LogAttrs,
		Route:  func(*http.Request) string { return "/torture" },
	}))
	var serving sync.WaitGroup
	url, client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer serving.Done()
		defer func() {
			if p := recover(); p != nil && p != any(http.ErrAbortHandler) && p != any("boom") {
				t.Errorf("panic: %v", p)
			} else if p != nil {
				panic(http.ErrAbortHandler) // as net/http has it, without its text
			}
		}()
		h.ServeHTTP(w, r)
	}))

	var clients sync.WaitGroup
	var sent, failed atomic.Int64
	for range 16 {
		clients.Go(func() {
			for {
				i := sent.Add(1)
				if i > int64(n) {
					return
				}
				ctx, cancel := context.WithCancel(t.Context())
				req, err := http.NewRequestWithContext(ctx, "POST", fmt.Sprint(url, "/", i), nil) // a GET would be sent again
				if err != nil {
					t.Error(err)
				}
				req.Header.Set("X-Request-Id", fmt.Sprint("r-", i))
				if i%3 == 0 {
					req.Header.Set("Traceparent", fmt.Sprintf("00-%032x-%016x-01", i, i))
				}
				if i%11 == 0 { // goes away, perhaps before the answer
					time.AfterFunc(time.Duration(rand.IntN(2000))*time.Microsecond, cancel)
				}
				resp, err := client.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if err != nil {
					failed.Add(1)
				}
				cancel()
			}
		})
	}
	clients.Wait()
	serving.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	must(t, scope.Wait(ctx))
	tel.checkTorture(n, int(failed.Load()))
}

// tortured is the handler. The want fields say by hand what the others say.
func (tel *telemetry) tortured(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	var i int
	_, _ = fmt.Sscanf(id, "r-%d", &i)
	say := func(ctx context.Context, where string) { tel.sayOf(ctx, id, where) }
	say(r.Context(), "handler")
	tenant.Set("t-" + id)
	err := otelscope.Run(r.Context(), tel.tracer, "outer", func(ctx context.Context) error {
		say(ctx, "outer")
		_, open := tel.tracer.Start(ctx, "open")
		defer open.End()
		defer open.End()
		if i%7 == 0 {
			scope.Go(func() { // outlives the request
				time.Sleep(time.Millisecond)
				_ = otelscope.Run(ctx, tel.tracer, "late", func(ctx context.Context) error {
					say(ctx, "late")
					return nil
				})
				say(ctx, "background")
			})
		}
		spawned(func() {
			say(ctx, "child")
			_ = otelscope.Run(ctx, tel.tracer, "inner", func(ctx context.Context) error {
				say(ctx, "inner")
				if i%5 == 0 {
					return scope.Error(errors.New("declined"))
				}
				return nil
			})
			say(ctx, "child again")
		})
		switch {
		case i%13 == 0:
			panic("boom")
		case i%17 == 0:
			panic(http.ErrAbortHandler)
		}
		return nil
	})
	if err != nil {
		tel.t.Errorf("Run returns %v", err)
	}
	if i%11 == 0 {
		select {
		case <-r.Context().Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
	say(r.Context(), "handler again")
	_, _ = io.WriteString(w, id)
}

// sayOf says something with each logger, with no context; the bridges' slog gets one now and then.
func (tel *telemetry) sayOf(ctx context.Context, id, where string) {
	slog.Info(where, "by", "slog", "want", id)
	zap.L().Info(where, zap.String("by", "zap"), zap.String("want", id))
	log.Info().Str("by", "zerolog").Str("want", id).Msg(where)
	tel.otelzap.Info(where, zap.String("by", "otelzap"), zap.String("want", id))
	if len(id)%2 == 0 {
		ctx = context.Background()
	}
	tel.otelslog.InfoContext(ctx, where, "by", "otelslog", "want", id)
}

// checkTorture compares all that has been written and sent with what it says by hand.
func (tel *telemetry) checkTorture(n, failed int) {
	t := tel.t
	var spans, logs []item
	servers := func() (count int) {
		spans, logs, _ = tel.flush()
		for _, s := range spans {
			if s.attrs["http.request.method"] != nil {
				count++
			}
		}
		return count
	}
	testkit.Eventually(t, "all spans arrive", func() bool { return servers() >= n-failed })

	byID, of := map[string]item{}, map[string]string{} // of: the request that a span is of, by the trace
	for _, s := range spans {
		byID[s.span] = s
		id, _ := s.attrs["request_id"].(string)
		if id == "" {
			t.Errorf("a span without a request: %+v", s)
		}
		if had, again := of[s.trace]; again && had != id {
			t.Errorf("a trace of the requests %s and %s", had, id)
		}
		of[s.trace] = id
	}
	// The span that each place is in. "late" is in a span of its own, on the outer one's.
	in := map[string]string{"outer": "outer", "inner": "inner", "child": "outer", "child again": "outer", "late": "late", "background": "outer"}
	check := func(by, where, want, id, trace, span string) {
		s, known := byID[span]
		switch {
		case id != want:
			t.Errorf("%s, %s: a line of %s says %s", by, where, want, id)
		case of[trace] != want:
			t.Errorf("%s, %s: the trace of %s is one of %q", by, where, want, of[trace])
		case !known || s.trace != trace:
			t.Errorf("%s, %s: the span %s of %s is no span of its trace", by, where, span, want)
		case in[where] != "" && s.name != in[where], in[where] == "" && s.attrs["http.request.method"] == nil:
			t.Errorf("%s, %s: the span of %s is %q", by, where, want, s.name)
		}
	}
	counts := map[string]int{}
	for _, text := range tel.lines.Lines() {
		line := parse(t, text)
		str := func(key string) string { s, _ := line[key].(string); return s }
		by, want := str("by"), str("want")
		if by == "" { // the last line of the request, which says in its tenant whose it is
			by, want = "access log", str("request_id")
			if got := str("tenant"); got != "t-"+want {
				t.Errorf("the last line of %s has the tenant %s", want, got)
			}
		}
		counts[by]++
		check(by, str("msg"), want, str("request_id"), str("trace_id"), str("span_id"))
	}
	for _, l := range logs {
		str := func(key string) string { s, _ := l.attrs[key].(string); return s }
		counts[str("by")]++
		check(str("by"), l.name, str("want"), str("request_id"), l.trace, l.span)
	}
	for _, s := range spans {
		counts["spans"]++
		if s.name == "outer" || s.name == "inner" || s.name == "late" || s.name == "open" {
			if got, want := s.attrs["tenant"], "t-"+of[s.trace]; got != want {
				t.Errorf("the span %s of %s has the tenant %v", s.name, of[s.trace], got)
			}
		}
	}
	for _, by := range []string{"zap", "zerolog", "otelslog", "otelzap"} {
		if counts[by] != counts["slog"] {
			t.Errorf("%s has %d lines, slog %d", by, counts[by], counts["slog"])
		}
	}
	var all []string
	for by, count := range counts {
		all = append(all, fmt.Sprint(by, " ", count))
	}
	slices.Sort(all)
	t.Logf("%d requests, of which %d had no answer: %v", n, failed, all)
}
