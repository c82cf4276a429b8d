// Wideevent answers: how does one line at the end of a request say what all of it has done:
// how many rows, which shards, how long the database took? Add it up with scope.Add,
// scope.Append and scope.Timing, wherever it happens.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

var shards = []string{"north", "south", "west"}

// search asks all shards at the same time.
func search(w http.ResponseWriter, r *http.Request) {
	scope.Set("query", r.URL.Query().Get("q"))
	var asked sync.WaitGroup
	for _, shard := range shards {
		scope.Append("shards", shard)
		asked.Go(func() { ask(shard) })
	}
	asked.Wait()
	fmt.Fprintln(w, "found")
}

// ask knows no request and no logger. What it adds up is the total of the request that it
// works for, whichever goroutine it runs in.
func ask(shard string) {
	defer scope.Timing("db")()
	scope.Add("rows", len(shard))
}

func main() {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTimes})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /search", search)
	server := httptest.NewServer(httpscope.Handler(mux, &httpscope.Options{Log: slog.LogAttrs}))
	defer server.Close()
	for i, query := range []string{"boots", "umbrella"} {
		req, err := http.NewRequest("GET", server.URL+"/search?q="+query, nil)
		if err != nil {
			panic(err)
		}
		req.Header.Set("X-Request-Id", fmt.Sprint("req-", i+1))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// withoutTimes makes the output the same each time.
func withoutTimes(groups []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, "http.server.request.duration", "db":
		return slog.Attr{}
	}
	return a
}
