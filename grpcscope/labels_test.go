package grpcscope_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/taskscope/taskscope/grpcscope"
	"github.com/taskscope/taskscope/scope"
)

const labelsEnv = "GRPC_GO_SERVER_GOROUTINE_LABELS"

// gRPC can label the goroutines of a server with the method, if the environment says so when the
// program starts. Then both are there, the label and the scope, and neither is another call's.
func TestGoroutineLabels(t *testing.T) {
	if os.Getenv(labelsEnv) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestGoroutineLabels$", "-test.v")
		cmd.Env = append(os.Environ(), labelsEnv+"=grpc.method=true")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestGoroutineLabels")) {
			t.Errorf("with %s: %v\n%s", labelsEnv, err, out)
		}
		return
	}
	labels := func() int {
		var b bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
		return strings.Count(b.String(), `"grpc.method":"/test.v1.Echo/`)
	}
	h := each(func(ctx context.Context) (string, error) {
		method := must(grpc.Method(ctx))
		for range 2 {
			if label, _ := pprof.Label(ctx, "grpc.method"); label != method {
				t.Errorf("the label of the context is %q", label)
			}
			scope.Set("own", method)
			if labels() == 0 {
				t.Error("no goroutine has the label")
			}
			if got := scope.Current().String(); !strings.HasSuffix(got, "own="+method) || !strings.HasPrefix(got, "request_id=") {
				t.Errorf("the scope is %s", got)
			}
			pprof.Do(ctx, pprof.Labels("more", "1"), func(context.Context) {
				if got := scope.GetOr("own", ""); got != method {
					t.Errorf("inside of pprof.Do: %s", got)
				}
			})
		}
		done := make(chan bool)
		go scope.Wrap(func() { done <- scope.GetOr("own", "") == method && labels() > 0 })()
		if !<-done {
			t.Error("a goroutine of the handler lacks one")
		}
		return "", nil
	})
	_, addr := serve(t, h, append(grpcscope.ServerOptions(nil), grpc.NumStreamWorkers(1))...)
	conn := dial(t, addr)
	for range 5 {
		for _, method := range kinds {
			if a := call(t.Context(), conn, method, ""); a.err != nil {
				t.Error(a)
			}
		}
	}
}
