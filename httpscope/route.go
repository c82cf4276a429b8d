package httpscope

import (
	"net/http"
	"strings"
)

// MuxRoute returns a func for [Options.Route] that knows the routes of mux, wherever mux
// is: also behind http.TimeoutHandler and middleware that copies the request, which keep to
// themselves what mux has found. It looks the request up once more, by the URL that the
// server has received: what is behind an http.StripPrefix isn't found. It panics if mux is nil.
func MuxRoute(mux *http.ServeMux) func(*http.Request) string {
	if mux == nil {
		panic("httpscope.MuxRoute: mux, the router to ask, is nil")
	}
	return func(r *http.Request) string {
		_, pattern := mux.Handler(r)
		return pattern
	}
}

// route returns the path of a pattern of http.ServeMux: "[METHOD ][HOST]/[PATH]".
func route(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}
