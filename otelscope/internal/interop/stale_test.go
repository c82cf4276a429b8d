package interop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// Tracers that remember on the goroutine which spans are open get these wrong: a span that is ended
// twice takes the one below with it, one that is ended elsewhere or never stays. Lines here have the
// ids of what encloses them, whatever becomes of other spans.
func TestSpansThatEndInAnyWayLeaveNoID(t *testing.T) {
	for _, c := range []struct {
		ends string
		use  func(ctx context.Context, tel *telemetry)
	}{
		{"twice", func(ctx context.Context, tel *telemetry) {
			_, first := tel.tracer.Start(ctx, "first")
			first.End()
			_, second := tel.tracer.Start(ctx, "second")
			first.End()
			tel.say("meanwhile")
			second.End()
			second.End()
		}},
		{"out of order", func(ctx context.Context, tel *telemetry) {
			ctx, first := tel.tracer.Start(ctx, "first")
			_, second := tel.tracer.Start(ctx, "second")
			first.End()
			tel.say("meanwhile")
			second.End()
		}},
		{"on another goroutine", func(ctx context.Context, tel *telemetry) {
			_, span := tel.tracer.Start(ctx, "first")
			tel.say("meanwhile")
			spawned(func() { span.End() })
		}},
		{"never", func(ctx context.Context, tel *telemetry) {
			_, _ = tel.tracer.Start(ctx, "first")
			tel.say("meanwhile")
		}},
		{"after that of a Run inside", func(ctx context.Context, tel *telemetry) {
			ctx, span := tel.tracer.Start(ctx, "first")
			_ = otelscope.Run(ctx, tel.tracer, "inside", func(context.Context) error {
				span.End() // and so before what hangs on it
				return nil
			})
			tel.say("meanwhile")
			span.End()
		}},
		{"by a Run that panics", func(ctx context.Context, tel *telemetry) {
			func() {
				defer func() { _ = recover() }()
				_ = otelscope.Run(ctx, tel.tracer, "panics", func(context.Context) error { panic("boom") })
			}()
			tel.say("meanwhile")
		}},
	} {
		t.Run(c.ends, func(t *testing.T) {
			tel := start(t, overGRPC)
			_ = otelscope.Run(t.Context(), tel.tracer, "enclosing", func(ctx context.Context) error {
				c.use(ctx, tel)
				tel.say("behind")
				spawned(func() { tel.say("spawned") })
				return nil
			})
			tel.say("outside")
			spans, _, _ := tel.flush()
			enclosing := named(t, spans, "enclosing")
			for _, msg := range []string{"meanwhile", "behind", "spawned"} {
				tel.wantSaid(msg, testkit.Line{"trace_id": enclosing.trace, "span_id": enclosing.span})
			}
			tel.wantSaid("outside", testkit.Line{"trace_id": nil, "span_id": nil})
		})
	}
}

// Requests that follow one another on one connection are served by one goroutine. Spans that a
// handler leaves open there, or ends elsewhere, are no parents of what comes next: each request has
// a trace of its own.
func TestAConnectionThatIsKeptAliveChainsNothing(t *testing.T) {
	const requests = 200
	for _, c := range []struct {
		name  string
		serve func(tel *telemetry, h http.Handler) http.Handler
	}{
		{"otelhttp and httpscope", func(tel *telemetry, h http.Handler) http.Handler { return tel.otelhttp(entry(h)) }},
		{"otelhttp alone", func(tel *telemetry, h http.Handler) http.Handler { return tel.otelhttp(h) }},
		{"neither", func(_ *telemetry, h http.Handler) http.Handler { return h }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tel := start(t, overGRPC)
			var ending sync.WaitGroup
			url, client := serve(t, c.serve(tel, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				tel.say("at first") // has what the connection's goroutine has left
				_, open := tel.tracer.Start(r.Context(), "left open")
				_ = open
				_, elsewhere := tel.tracer.Start(r.Context(), "ended elsewhere")
				ending.Go(func() { elsewhere.End() })
				_ = otelscope.Run(r.Context(), tel.tracer, "work", func(context.Context) error {
					tel.say("at work")
					return nil
				})
			})))
			connections := 0
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
				if !info.Reused {
					connections++
				}
			}})
			for range requests {
				req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
				must(t, err)
				resp, err := client.Do(req)
				must(t, err)
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			ending.Wait()
			if connections != 1 {
				t.Fatalf("%d connections, want one", connections)
			}
			traces, works := map[any]bool{}, 0
			testkit.Eventually(t, "all spans arrive", func() bool {
				spans, _, _ := tel.flush()
				works = 0
				for _, s := range spans {
					if s.name == "work" {
						traces[s.trace] = true
						works++
					}
				}
				return works == requests
			})
			if len(traces) != requests {
				t.Errorf("%d traces of %d requests", len(traces), requests)
			}
			server := map[any]any{} // the ids that lines of a request have outside Run
			for _, text := range tel.lines.Lines() {
				line := parse(t, text)
				switch line["msg"] {
				case "at work":
					if !traces[line["trace_id"]] || line["span_id"] == nil {
						t.Errorf("a line of no request: %v", line)
					}
				case "at first":
					id, span := line["trace_id"], line["span_id"]
					if c.name != "otelhttp and httpscope" {
						if id != nil || span != nil {
							t.Errorf("the connection has left ids: %v", line)
						}
						continue
					}
					if had, again := server[id]; id == nil || span == nil || again && had != span {
						t.Errorf("a line of two requests or none: %v", line)
					}
					server[id] = span
				}
			}
			if c.name == "otelhttp and httpscope" && len(server) != requests {
				t.Errorf("the lines are of %d requests, want %d", len(server), requests)
			}
		})
	}
}

// A worker that a request has started serves others when that request is long over. A job's lines
// have the ids of the job, by Wrap or by a Run of its own, and what is between two jobs has none.
func TestAWorkerThatARequestHasStarted(t *testing.T) {
	tel := start(t, overGRPC)
	jobs, done := make(chan func()), make(chan struct{})
	var begin sync.Once
	url, client := serve(t, tel.otelhttp(entry(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		begin.Do(func() {
			scope.Outside(func() { // what is begun by a request, and outlives it
				go func() {
					defer close(done)
					for job := range jobs {
						tel.say("between jobs")
						job()
					}
				}()
			})
		})
		n := r.URL.Path[1:]
		finished := make(chan struct{})
		jobs <- scope.Wrap(func() { tel.say("wrapped " + n) })
		jobs <- func() {
			_ = otelscope.Run(r.Context(), tel.tracer, "job "+n, func(context.Context) error {
				tel.say("run " + n)
				return nil
			})
		}
		jobs <- func() { tel.say("bare " + n); close(finished) }
		<-finished
		tel.say("handler " + n)
	}))))
	for n := range 5 {
		get(t, client, fmt.Sprint(url, "/", n), "X-Request-Id", fmt.Sprint("r-", n))
	}
	close(jobs)
	testkit.Receive(t, done, "end of the worker")
	for n := range 5 {
		id := fmt.Sprint("r-", n)
		server := tel.serverSpan(func(i item) bool { return i.parent == "" && i.attrs["request_id"] == id })
		own := testkit.Line{"request_id": id, "trace_id": server.trace, "span_id": server.span, "scope_ended": nil}
		tel.wantSaid(fmt.Sprint("handler ", n), own)
		tel.wantSaid(fmt.Sprint("wrapped ", n), own)
		spans, _, _ := tel.flush()
		job := named(t, spans, fmt.Sprint("job ", n))
		if job.trace != server.trace || job.parent != server.span {
			t.Errorf("the job's span is %+v, the server's %+v", job, server)
		}
		tel.wantSaid(fmt.Sprint("run ", n), testkit.Line{"request_id": id, "trace_id": job.trace, "span_id": job.span, "scope_ended": nil})
		tel.wantSaid(fmt.Sprint("bare ", n), testkit.Line{"request_id": nil, "trace_id": nil, "span_id": nil})
	}
	for _, text := range tel.lines.Lines() {
		if line := parse(t, text); line["msg"] == "between jobs" && (line["trace_id"] != nil || line["request_id"] != nil) {
			t.Errorf("between two jobs the worker has ids: %v", line)
		}
	}
}

// A worker that was started with a plain go is the request's, and says so: when the request is over,
// each of its lines is marked as late. A job's own Run is right all the same.
func TestAWorkerThatKeepsADeadParent(t *testing.T) {
	if !inherits {
		t.Skip("on the portable path a plain go has no scope to keep")
	}
	tel := start(t, overGRPC)
	jobs, done := make(chan func()), make(chan struct{})
	url, client := serve(t, tel.otelhttp(entry(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		go func() {
			defer close(done)
			for job := range jobs {
				job()
			}
		}()
	}))))
	get(t, client, url, "X-Request-Id", "r-1")
	server := tel.serverSpan(func(i item) bool { return i.parent == "" })

	var other item
	_ = otelscope.Run(scope.NewContext(t.Context(), scope.New("request_id", "r-2")), tel.tracer, "second request", func(ctx context.Context) error {
		finished := make(chan struct{})
		jobs <- func() { tel.say("bare") }
		jobs <- func() {
			_ = otelscope.Run(ctx, tel.tracer, "job", func(context.Context) error {
				tel.say("run")
				return nil
			})
		}
		jobs <- func() { tel.say("bare again"); close(finished) }
		<-finished
		return nil
	})
	close(jobs)
	testkit.Receive(t, done, "end of the worker")
	spans, _, _ := tel.flush()
	other = named(t, spans, "second request")
	job := named(t, spans, "job")
	if job.trace != other.trace || job.parent != other.span {
		t.Errorf("the job's span is %+v, want it in %+v", job, other)
	}
	for _, msg := range []string{"bare", "bare again"} {
		tel.wantSaid(msg, testkit.Line{"request_id": "r-1", "trace_id": server.trace, "span_id": server.span, "scope_ended": true})
	}
	tel.wantSaid("run", testkit.Line{"trace_id": job.trace, "span_id": job.span, "request_id": "r-2", "scope_ended": nil})
}
