// Logr answers: my controller logs through logr, as controller-runtime does; how do all
// lines of a reconciliation carry the object? Give logr a handler of slogh.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/go-logr/logr"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// log is the package's logger, as ctrl.Log is: helpers use it without being given one.
// In a controller, main would say ctrl.SetLogger(newLogger()).
var log = newLogger().WithName("shop")

func newLogger() logr.Logger {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{
		Level:       slog.Level(-1), // logr's V(1)
		ReplaceAttr: withoutTime,
	})
	return logr.FromSlogHandler(slogh.New(handler, nil))
}

// A Request names the object to reconcile, as controller-runtime's does.
type Request struct{ Namespace, Name string }

// Reconcile is where the work on an object begins.
func Reconcile(ctx context.Context, req Request) (err error) {
	scope.New("namespace", req.Namespace, "name", req.Name).Run(func() {
		// Code that takes its logger from ctx is stamped too.
		err = reconcile(logr.NewContext(ctx, log))
	})
	return err
}

func reconcile(ctx context.Context) error {
	logr.FromContextOrDiscard(ctx).Info("reconciling")
	replicas := wantedReplicas()
	scope.Set("replicas", replicas) // on all lines from here on
	if err := scale(replicas); err != nil {
		log.Error(err, "not scaled")
		return err
	}
	log.Info("scaled")
	return nil
}

func wantedReplicas() int {
	log.V(1).Info("reading the deployment", "cached", true)
	return 3
}

func scale(int) error {
	if name, _ := scope.Get("name"); name == "api" {
		return errors.New("conflict: the object has been modified")
	}
	return nil
}

func main() {
	log.Info("starting")
	for _, name := range []string{"web", "api"} {
		if err := Reconcile(context.Background(), Request{"default", name}); err != nil {
			log.Info("trying again later", "name", name)
		}
	}
}

// withoutTime makes the output the same each time.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
