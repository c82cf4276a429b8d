package frameworks

import (
	"net/http"

	"github.com/gorilla/mux"
)

// Gorilla is a server with github.com/gorilla/mux.
func Gorilla() http.Handler {
	r := mux.NewRouter()
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			route, _ := mux.CurrentRoute(r).GetPathTemplate()
			setRoute(route)
			next.ServeHTTP(w, r)
		})
	})
	r.HandleFunc("/users/{id}", func(w http.ResponseWriter, r *http.Request) { user(w, mux.Vars(r)["id"]) }).Methods("GET")
	r.HandleFunc("/teapot", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "short and stout", http.StatusTeapot) }).Methods("GET")
	r.HandleFunc("/fail", fail).Methods("GET")
	r.Handle("/slow", slow).Methods("GET")
	r.HandleFunc("/upload", upload).Methods("POST")
	r.HandleFunc("/events", events).Methods("GET")
	r.HandleFunc("/echo", echo).Methods("GET")
	return wrap(r)
}
