package otelscope_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	otelpropagation "go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/jobscope"
	"github.com/taskscope/taskscope/otelscope"
	"github.com/taskscope/taskscope/scope"
)

// Tracers that bind a span when it starts leave it bound when it ends elsewhere. Here ids are bound
// by what encloses the work, so however spans end, nothing of them is left.

// A span that a library starts binds nothing, so its end needs to put nothing back.
func TestASpanThatIsOnlyStartedBindsNothing(t *testing.T) {
	tracer, _ := newTracer()
	_ = otelscope.Run(background, tracer, "outer", func(ctx context.Context) error {
		ids := bound()
		for name, end := range map[string]func(first, second trace.Span){
			"in order":             func(first, second trace.Span) { second.End(); first.End() },
			"out of order":         func(first, second trace.Span) { first.End(); second.End() },
			"twice":                func(first, second trace.Span) { second.End(); second.End(); first.End(); second.End() },
			"never":                func(first, second trace.Span) {},
			"on another goroutine": func(first, second trace.Span) { elsewhere(func() { first.End() }); second.End() },
		} {
			firstCtx, first := tracer.Start(ctx, "first")
			want(t, name+", the first has started", bound(), ids)
			_, second := tracer.Start(firstCtx, "second")
			want(t, name+", the second has started", bound(), ids)
			end(first, second)
			want(t, name+", they have ended", bound(), ids)
		}
		return nil
	})
	want(t, "after all", bound(), "")
}

// elsewhere calls fn on another goroutine, one without a scope, and waits for it.
func elsewhere(fn func()) {
	done := make(chan struct{})
	scope.Scope{}.Go(func() { defer close(done); fn() })
	<-done
}

// An End too many takes nobody else's ids: the spans of Run end with it, once.
func TestASpanOfRunThatIsEndedBySomebodyElse(t *testing.T) {
	tracer, spans := newTracer()
	_ = otelscope.Run(background, tracer, "outer", func(outer context.Context) error {
		outerIDs := bound()
		_ = otelscope.Run(outer, tracer, "inner", func(inner context.Context) error {
			innerIDs := bound()
			trace.SpanFromContext(inner).End()
			trace.SpanFromContext(outer).End() // out of order
			elsewhere(func() { trace.SpanFromContext(inner).End() })
			want(t, "inside, ended", bound(), innerIDs)
			return nil
		})
		want(t, "outside, the inner one ended three times", bound(), outerIDs)
		return nil
	})
	want(t, "after all", bound(), "")
	if n := len(spans.Ended()); n != 2 {
		t.Errorf("%d spans ended", n)
	}
}

// What runs on another goroutine than the one that it was started for has its own ids.
func TestSpansThatOverlapOnSeveralGoroutines(t *testing.T) {
	tracer, _ := newTracer()
	started, ended := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	_ = otelscope.Run(background, tracer, "parent", func(ctx context.Context) error {
		ids := bound()
		all.Go(func() { // outlives its parent
			_ = otelscope.Run(ctx, tracer, "child", func(ctx context.Context) error {
				close(started)
				<-ended
				want(t, "the child", bound(), idsOf(trace.SpanContextFromContext(ctx)))
				return nil
			})
			if scopekit.Inherits() {
				want(t, "behind the child", bound(), ids)
			}
		})
		<-started
		want(t, "the parent", bound(), ids)
		return nil
	})
	want(t, "the parent has ended", bound(), "")
	close(ended)
	all.Wait()
}

// One connection, one goroutine, many requests: each has the trace that it has come with, or one of
// its own, also if no handler ends its spans.
func TestRequestsOnOneConnection(t *testing.T) {
	tracer, _ := newTracer()
	l, k := newLogger(nil)
	connections := 0
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, _ := tracer.Start(r.Context(), "a library's, never ended")
		if r.URL.Path == "/run" {
			_ = otelscope.Run(ctx, tracer, "inner", func(ctx context.Context) error {
				tracer.Start(ctx, "never ended")
				return nil
			})
		}
		emit(l, background)
	})
	// As a server's instrumentation does it: the span's context is the request's.
	traced := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, _ := tracer.Start(r.Context(), "server, never ended")
		h := httpscope.Handler(handler, &httpscope.Options{Fields: otelscope.Fields, NewID: func() string { return "r" }, Names: map[httpscope.Field]string{httpscope.Method: "", httpscope.Route: ""}})
		h.ServeHTTP(w, r.WithContext(ctx))
		_, _ = io.WriteString(w, trace.SpanContextFromContext(ctx).SpanID().String()+trace.SpanContextFromContext(ctx).TraceID().String())
	})
	mux := http.NewServeMux()
	mux.Handle("/", traced)
	mux.HandleFunc("/bare", func(w http.ResponseWriter, r *http.Request) { // with no entry at all
		want(t, "a bare handler", bound(), "")
		_ = otelscope.Run(r.Context(), tracer, "bare", func(context.Context) error { return nil })
		want(t, "a bare handler, after Run", bound(), "")
		emit(l, background)
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections++
		}
	}
	server.Start()
	defer server.Close()
	seen := map[string]bool{}
	for _, path := range []string{"/", "/run", "/bare", "/", "/run", "/bare"} {
		answer, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if path == "/bare" {
			wantLines(t, k, "hello")
			continue
		}
		span, id := string(body[:16]), string(body[16:])
		wantLines(t, k, "hello request_id=r ["+id+"/"+span+"/01]")
		if seen[id] {
			t.Errorf("two requests are of the trace %s", id)
		}
		seen[id] = true
	}
	if connections != 1 {
		t.Errorf("%d connections: the test shows nothing", connections)
	}
}

// A worker serves one job after the other. It has the ids of the job that it runs, and otherwise
// none, also if the span of a job, or the one in which the pool was started, is long over.
func TestWorkersKeepNoParent(t *testing.T) {
	tracer, _ := newTracer()
	l, k := newLogger(nil)
	jobs := make(chan func())
	var worker sync.WaitGroup
	_ = otelscope.Run(background, tracer, "the request that starts the pool", func(context.Context) error {
		scope.Outside(func() {
			worker.Go(func() {
				for job := range jobs {
					job()
					want(t, "between jobs", bound(), "")
				}
			})
		})
		return nil
	})
	var ids string
	for range 2 {
		_ = otelscope.Run(background, tracer, "a request", func(ctx context.Context) error {
			ids = bound()
			done := make(chan struct{})
			jobs <- scope.Wrap(func() {
				emit(l, background)
				tracer.Start(ctx, "never ended")
				close(done)
			})
			testkit.Receive(t, done, "job")
			wantLines(t, k, "hello ["+ids+"]")
			return nil
		})
	}
	jobs <- func() { want(t, "a job of nobody", bound(), "") }
	ctx := remote()
	jobs <- func() { // a job as a task of its own, which a message's span is the parent of
		_ = jobscope.Run(ctx, "resize", func(ctx context.Context) error {
			want(t, "a job, from its entry", bound(), traceID+"/"+spanID+"/01")
			return otelscope.Run(ctx, tracer, "resize", func(ctx context.Context) error {
				want(t, "a job, in its span", bound(), idsOf(trace.SpanContextFromContext(ctx)))
				return nil
			})
		}, &jobscope.Options{Fields: otelscope.SpanFields})
	}
	close(jobs)
	worker.Wait()
}

// A worker that was started with a plain go statement inside a request has inherited its ids. They
// are its own until its task is over, and from then on its records say so.
func TestAWorkerThatInheritedSaysSo(t *testing.T) {
	if !scopekit.Inherits() {
		t.Skip("a go statement passes nothing on")
	}
	tracer, _ := newTracer()
	l, k := newLogger(nil)
	over := make(chan struct{})
	var worker sync.WaitGroup
	ids := ""
	scope.New("request_id", "r-1").Run(func() {
		_ = otelscope.Run(background, tracer, "request", func(context.Context) error {
			ids = bound()
			worker.Go(func() { <-over; emit(l, background) })
			return nil
		})
	})
	close(over)
	worker.Wait()
	wantLines(t, k, "hello scope_ended=true request_id=r-1 ["+ids+"]")
}

// A span around all that happens at start-up belongs to main: what is served later, and a job of another trace
// that is run meanwhile, have the fields of the process without its ids.
func TestTheSpanOfAStartUp(t *testing.T) {
	tracer, _ := newTracer()
	elsewhere(func() {
		scope.Set("service", "shop")
		var request string
		var h http.Handler
		_ = otelscope.Run(background, tracer, "start-up", func(context.Context) error {
			h = httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				request = scope.GetOr("service", "") + " " + bound()
			}), nil)
			return jobscope.Run(background, "migrate", func(context.Context) error {
				want(t, "a job", scope.GetOr("service", "")+" "+bound(), "shop "+traceID+"//01")
				return nil
			}, &jobscope.Options{Headers: otelpropagation.MapCarrier{"traceparent": "00-" + traceID + "-" + spanID + "-01"}})
		})
		r := httptest.NewRequest("GET", "/", nil)
		h.ServeHTTP(httptest.NewRecorder(), r)
		want(t, "a request", request, "shop ")
		r.Header.Set("traceparent", "00-"+traceID+"-"+spanID+"-01")
		h.ServeHTTP(httptest.NewRecorder(), r)
		want(t, "a request of another trace", request, "shop "+traceID+"//01")
	})
}
