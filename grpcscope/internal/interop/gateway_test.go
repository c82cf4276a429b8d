package interop

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/metadata"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
)

// A request that comes in by HTTP and goes on by gRPC has one id on both sides. Baggage that the
// gateway hands on stays out if it isn't trusted. Older gateways hand headers with a prefix on without it.
func TestGateway(t *testing.T) {
	logger, lines := logs()
	got := make(chan metadata.MD, 1)
	client := serve(t, func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		got <- md
		return nil
	}, grpcscope.ServerOptions(&grpcscope.Options{Log: logger.LogAttrs})...)(grpcscope.DialOptions(nil)...)
	all := runtime.WithIncomingHeaderMatcher(func(key string) (string, bool) { return key, true })
	for name, opts := range map[string][]runtime.ServeMuxOption{"default": nil, "all headers": {all}, "prefixed headers": {runtime.WithLegacyHeaderMatching()}} {
		mux := runtime.NewServeMux(append(opts, runtime.WithHealthzEndpoint(client))...)
		err := mux.HandlePath("GET", "/check", func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
			// As generated code does it.
			ctx, err := runtime.AnnotateContext(r.Context(), mux, r, "/grpc.health.v1.Health/Check")
			if err == nil {
				_, err = kinds["unary"](ctx, client)
			}
			if err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		h := httpscope.Handler(mux, &httpscope.Options{Log: logger.LogAttrs})
		for _, path := range []string{"/check", "/healthz"} {
			for _, id := range []string{"r-17", "not valid", ""} {
				r := httptest.NewRequest("GET", path, nil)
				r.Header.Set("X-Request-Id", id)
				r.Header.Set("Baggage", "user=eve")
				r.Header.Set("Grpc-Metadata-X-Request-Id", "theirs")
				r.Header.Set("Grpc-Metadata-Baggage", "user=mallory")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				ids := w.Result().Header["X-Request-Id"]
				if len(ids) != 1 || id == "r-17" && ids[0] != id || id == "not valid" && ids[0] == id {
					t.Errorf("%s, %s: the answer to %q has the ids %q", name, path, id, ids)
				}
				for _, msg := range []string{"call", "request"} {
					lines.Next(t).Want(t, testkit.Line{"msg": msg, "request_id": ids[0]})
				}
				md := <-got
				if strings.Join(md.Get("x-request-id"), "|") != ids[0] || len(md.Get("baggage")) > 0 {
					t.Errorf("%s, %s: the call has %v", name, path, md)
				}
			}
		}
	}
}
