package httpscope

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/taskscope/taskscope/internal/entry"
	"github.com/taskscope/taskscope/scope"
)

// MuxRoute returns a func for [Options.Route] that knows the routes of mux, wherever mux
// is: also behind http.TimeoutHandler and middleware that copies the request, which don't pass
// on what mux has found. It looks the request up once more, by the URL that the
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

// A router is what http.ServeMux is: it knows the pattern of a request before it serves it.
type router interface {
	Handler(*http.Request) (http.Handler, string)
}

// routeBeforehand returns the route that is known before the handler is called. If the next handler
// is a router that has found it, the Handler around this one, if there is one, is told it too.
func (h *handler) routeBeforehand(r *http.Request, e *exchange) string {
	if h.names.route == "" && e.outer == nil {
		return ""
	}
	if h.routes != nil {
		if _, pattern := h.routes.Handler(r); pattern != "" {
			e.found(route(pattern))
			return route(pattern)
		}
	}
	return route(r.Pattern)
}

// found tells the Handler around this one, if there is one, the route.
func (e *exchange) found(route string) {
	if route != "" && e.outer != nil {
		found := route // a copy: route itself would be allocated for every call
		e.outer.route.Store(&found)
	}
}

// refineRoute sets the route that is known at the end, unless the handler has set one.
func (h *handler) refineRoute(e *exchange) {
	found := h.routeAtTheEnd(e)
	if found == "" {
		return
	}
	e.found(found)
	name := h.names.route
	if name == "" {
		return
	}
	set, _ := e.task.Get(name)
	was, _ := set.(string)
	if now := scope.GetOr(name, ""); now == was && now != found {
		scope.SetAttrs(slog.String(name, found))
	}
}

func (h *handler) routeAtTheEnd(e *exchange) string {
	if h.opts.Route != nil {
		if pattern := h.opts.Route(e.r); pattern != "" {
			if path := route(pattern); path != "" {
				pattern = path
			}
			return entry.Clip(pattern)
		}
	}
	if inner := e.mark.route.Load(); inner != nil {
		return *inner
	}
	return route(e.r.Pattern)
}
