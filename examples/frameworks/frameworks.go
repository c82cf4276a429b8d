// Package frameworks has one small server for each of several HTTP frameworks, with one
// httpscope.Handler around the whole of it. docs/frameworks.md says why it is there, and where
// the route on the last line comes from.
package frameworks

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
)

// wrap is the one line that a server needs: around the engine, not in it.
func wrap(engine http.Handler) http.Handler {
	return httpscope.Handler(engine, &httpscope.Options{
		Log:        slog.LogAttrs,
		AccessPath: true, // a 404 has no route
	})
}

// setRoute puts the route that a framework has found on all lines that follow.
func setRoute(route string) {
	if route != "" {
		scope.Set(string(httpscope.Route), route)
	}
}

// What follows is the same in all servers. None of it knows of taskscope.

// user answers with the user that a router has found in the path.
func user(w http.ResponseWriter, id string) {
	slog.Info("user", "user", id)
	fmt.Fprintln(w, "user", id)
}

func fail(http.ResponseWriter, *http.Request) {
	slog.Info("about to fail")
	panic("no database")
}

// slow takes longer than it may.
var slow = http.TimeoutHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
	slog.Info("waiting")
	<-r.Context().Done()
}), 20*time.Millisecond, "too slow")

func upload(w http.ResponseWriter, r *http.Request) {
	file, header, err := r.FormFile("file")
	if r.MultipartForm != nil {
		// net/http removes temporary files of its own request; this may be a router's copy.
		defer r.MultipartForm.RemoveAll()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer file.Close()
	size, err := io.Copy(io.Discard, file)
	slog.Info("uploaded", "name", header.Filename, "size", size, "err", err)
	fmt.Fprintln(w, size)
}

// news is where the events come from.
var news = make(chan int)

// events sends three server-sent events, each when it comes.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for range 3 {
		select {
		case n := <-news:
			slog.Info("event", "n", n)
			fmt.Fprintf(w, "data: %d\n\n", n)
		case <-r.Context().Done():
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			slog.Error("no stream", "err", err)
		}
	}
}
