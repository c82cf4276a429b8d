package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/slogh"
)

func init() { add(7, "HTTP", httpRequest) }

// httpRequest measures a server over a real connection on loopback.
func httpRequest() table {
	empty := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	answering := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header()["X-Request-Id"] = []string{id} })
	base := slog.New(slogBase())
	byHand := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, id := time.Now(), httpscope.NewID()
		w.Header()["X-Request-Id"] = []string{id}
		answer := &recording{ResponseWriter: w, status: http.StatusOK}
		empty.ServeHTTP(answer, r)
		base.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("request_id", id), slog.String("http.request.method", r.Method),
			slog.Int("http.response.status_code", answer.status), slog.Int64("http.response.body.size", answer.size), slog.Float64("http.server.request.duration", time.Since(start).Seconds()))
	})
	scoped := httpscope.Handler(empty, nil)
	logging := &httpscope.Options{Log: slog.New(slogh.New(slog.NewJSONHandler(io.Discard, nil), nil)).LogAttrs}
	return table{
		name: "HTTP request", connection: true,
		about: "An empty handler, over a loopback connection that is kept alive; client and server are in this process. The rows asked with an id have one header more to read, so compare them with each other; those of chi too, whose router has a middleware that wraps the ResponseWriter in chi's own in front of Handler. In the last row there is no connection: the handler is called directly.",
		note:  "What Handler adds is what the last row shows, with colder caches: the scope, its task and its context, the id, the header that has it, the copy of the request, and the ResponseWriter that sends the id once. A line costs what slog needs to encode it, and the stamp.",
		rows: []row{
			{"bare server that answers with an id", 0, requests(answering, "")},
			{"bare server", 0, requests(empty, "")},
			{"taskscope httpscope.Handler, no Log", 1.06, requests(scoped, "")},
			{"bare server that answers with an id, and logs a line by hand", 0, requests(byHand, "")},
			{"taskscope httpscope.Handler, Log", 0, requests(httpscope.Handler(empty, logging), "")},
			{"bare server that answers with an id, behind chi", 0, requests(behindChi(answering), "")},
			{"taskscope httpscope.Handler, Log, behind chi", 0, requests(behindChi(empty, httpscope.Middleware(logging)), "")},
			{"bare server that answers with an id, asked with an id", 0, requests(answering, id)},
			{"taskscope httpscope.Handler, no Log, asked with an id", 0, requests(scoped, id)},
			{"taskscope httpscope.Handler, no Log, called directly", 0, direct(scoped)},
		}}
}

// behindChi returns a router for h that has a middleware with a ResponseWriter of its own.
func behindChi(h http.Handler, inside ...func(http.Handler) http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(middleware.NewWrapResponseWriter(w, r.ProtoMajor), r)
		})
	})
	r.Use(inside...)
	r.Handle("/", h)
	return r
}

// requests sends requests with this X-Request-Id, or none if it is empty, to a server for h.
func requests(h http.Handler, id string) func(n int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(l, h)
	client := &http.Client{Transport: &http.Transport{}}
	url := "http://" + l.Addr().String()
	return func(n int) {
		for range n {
			req, err := http.NewRequest("GET", url, nil)
			if err != nil {
				panic(err)
			}
			if id != "" {
				req.Header["X-Request-Id"] = []string{id}
			}
			resp, err := client.Do(req)
			if err != nil {
				panic(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

// direct calls h with an answer that goes nowhere.
func direct(h http.Handler) func(n int) {
	r, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		panic(err)
	}
	w := header{}
	return func(n int) {
		for range n {
			clear(w)
			h.ServeHTTP(w, r)
		}
	}
}

// header is a ResponseWriter that is only its header.
type header http.Header

func (w header) Header() http.Header         { return http.Header(w) }
func (w header) Write(p []byte) (int, error) { return len(p), nil }
func (w header) WriteHeader(int)             {}

// A recording remembers what the line at the end says of an answer.
type recording struct {
	http.ResponseWriter
	status int
	size   int64
}

func (r *recording) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recording) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.size += int64(n)
	return n, err
}
