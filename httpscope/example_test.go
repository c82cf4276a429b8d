package httpscope_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// exampleLogger writes what the examples can show: no times and durations.
func exampleLogger() *slog.Logger {
	return slog.New(slogh.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "http.server.request.duration" {
				return slog.Attr{}
			}
			return a
		},
	}), nil))
}

// get asks for a page as a client with a request id would.
func get(client *http.Client, url string) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("X-Request-Id", "r-1")
	resp, err := client.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s %s %s", resp.Status, resp.Header.Get("X-Request-Id"), body)
}

func ExampleHandler() {
	logger := exampleLogger()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		scope.Set("order", r.PathValue("id"))
		logger.Info("charging card") // from wherever the handler leads, without a context
		fmt.Fprintln(w, "thank you")
	})
	server := httptest.NewServer(httpscope.Handler(mux, nil))
	defer server.Close()

	get(server.Client(), server.URL+"/orders/7")
	// Output:
	// level=INFO msg="charging card" request_id=r-1 http.request.method=GET http.route=/orders/{id} order=7
	// 200 OK r-1 thank you
}

func ExampleMiddleware() {
	logger := exampleLogger()
	middleware := []func(http.Handler) http.Handler{httpscope.Middleware(nil)} // as chi's Use takes it
	var h http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { logger.Info("hello") })
	for _, m := range middleware {
		h = m(h)
	}
	server := httptest.NewServer(h)
	defer server.Close()

	get(server.Client(), server.URL)
	// Output:
	// level=INFO msg=hello request_id=r-1 http.request.method=GET
	// 200 OK r-1
}

func ExampleOptions() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope.Set("user", "u-1")
		http.Error(w, "sold out", http.StatusConflict)
	})
	server := httptest.NewServer(httpscope.Handler(h, &httpscope.Options{
		Skip: func(r *http.Request) bool { return r.URL.Path == "/healthz" },
		Names: map[httpscope.Field]string{
			httpscope.Method: "method",   // another name
			httpscope.Path:   "url.path", // off by default
			httpscope.Route:  "",         // left out
		},
		Fields: func(r *http.Request) []slog.Attr {
			return []slog.Attr{slog.String("host", "shop.example")}
		},
		Log: exampleLogger().LogAttrs, // or zaph.LogAttrs(zapLogger), zeroh.LogAttrs(&zerologLogger)
	}))
	defer server.Close()

	get(server.Client(), server.URL+"/buy")
	// Output:
	// level=INFO msg=request request_id=r-1 method=GET url.path=/buy host=shop.example user=u-1 http.response.status_code=409 http.response.body.size=9
	// 409 Conflict r-1 sold out
}

// Where a middleware copies the request, what an http.ServeMux finds stays with the copy.
func ExampleMuxRoute() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "thank you") })
	server := httptest.NewServer(httpscope.Handler(http.TimeoutHandler(mux, time.Minute, "too slow"), &httpscope.Options{
		Route:      httpscope.MuxRoute(mux), // or what another router says about a request
		AccessPath: true,                    // where there is no route
		Log:        exampleLogger().LogAttrs,
	}))
	defer server.Close()

	get(server.Client(), server.URL+"/orders/7")
	get(server.Client(), server.URL+"/favicon.ico")
	// Output:
	// level=INFO msg=request request_id=r-1 http.request.method=GET http.route=/orders/{id} http.response.status_code=200 http.response.body.size=10
	// 200 OK r-1 thank you
	// level=INFO msg=request request_id=r-1 http.request.method=GET http.response.status_code=404 http.response.body.size=19 url.path=/favicon.ico
	// 404 Not Found r-1 404 page not found
}

func ExampleProxyID() {
	for _, id := range []string{"ZcKj@goKAAEAAAhTgOkAAAAB", "0A000001:C350_0A000002:0050_65C2A382_0001:1A2B", `","admin":"yes`} {
		fmt.Println(httpscope.PlainID(id), httpscope.ProxyID(id))
	}
	// Output:
	// false true
	// false true
	// false false
}

func ExampleTransport() {
	scope.NewKey[string]("tenant", scope.Propagated) // may leave the process

	logger := exampleLogger()
	stock := httptest.NewServer(httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		logger.Info("looking it up")
	}), &httpscope.Options{
		TrustBaggage: func(*http.Request) bool { return true }, // it is called from within only
	}))
	defer stock.Close()

	client := &http.Client{Transport: httpscope.Transport(nil, nil)}
	defer client.CloseIdleConnections()
	shop := httptest.NewServer(httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		scope.Set("tenant", "acme")
		scope.Set("card", "4111") // stays here
		logger.Info("asking")
		resp, err := client.Get(stock.URL)
		if err != nil {
			panic(err)
		}
		resp.Body.Close()
	}), nil))
	defer shop.Close()

	get(shop.Client(), shop.URL)
	// Output:
	// level=INFO msg=asking request_id=r-1 http.request.method=GET tenant=acme card=4111
	// level=INFO msg="looking it up" request_id=r-1 http.request.method=GET tenant=acme
	// 200 OK r-1
}
