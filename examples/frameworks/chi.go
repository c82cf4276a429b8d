package frameworks

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// Chi is a server with github.com/go-chi/chi.
func Chi() http.Handler {
	r := chi.NewRouter()
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// chi finds the route behind its middleware, in parts.
			defer func() { setRoute(chi.RouteContext(r.Context()).RoutePattern()) }()
			next.ServeHTTP(w, r)
		})
	})
	r.Get("/users/{id}", func(w http.ResponseWriter, r *http.Request) { user(w, chi.URLParam(r, "id")) })
	r.Get("/teapot", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "short and stout", http.StatusTeapot) })
	r.Get("/fail", fail)
	r.Get("/slow", slow.ServeHTTP)
	r.Post("/upload", upload)
	r.Get("/events", events)
	r.Get("/echo", echo)
	return wrap(r)
}
