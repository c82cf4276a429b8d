package frameworks

import (
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/taskscope/taskscope/httpscope"
)

// Proxy is an httputil.ReverseProxy to the server at backend. It has no routes of its own. With
// httpscope.Transport the backend's lines have the id of the proxy's.
func Proxy(backend *url.URL) http.Handler {
	return wrap(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(backend) },
		Transport: httpscope.Transport(nil, nil),
	})
}
