package zaph_test

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// stdoutCore writes to the standard output, without the time.
func stdoutCore() zapcore.Core { return jsonCore(os.Stdout, zap.InfoLevel) }

func ExampleNew() {
	logger := zap.New(zaph.New(stdoutCore(), nil))

	scope.New("request_id", "r-1").Run(func() {
		logger.Info("charging card", zap.Int("cents", 1299))
	})
	logger.Info("idle")
	// Output:
	// {"level":"info","msg":"charging card","request_id":"r-1","cents":1299}
	// {"level":"info","msg":"idle"}
}

// WrapCore is the one change that an existing program needs. The logger here is the one
// of zap.NewProduction, to the standard output and without times.
func ExampleWrapCore() {
	cfg := zap.NewProductionConfig()
	cfg.OutputPaths = []string{"stdout"}
	cfg.EncoderConfig.TimeKey = zapcore.OmitKey
	cfg.DisableCaller = true

	logger, err := cfg.Build(zaph.WrapCore(nil))
	if err != nil {
		panic(err)
	}
	defer zap.ReplaceGlobals(logger)()

	scope.New("request_id", "r-1").Run(func() {
		zap.L().Info("charging card", zap.Int("cents", 1299))
		zap.S().Infow("card charged", "attempts", 2)
	})
	// Output:
	// {"level":"info","msg":"charging card","request_id":"r-1","cents":1299}
	// {"level":"info","msg":"card charged","request_id":"r-1","attempts":2}
}

// A worker that serves many tasks has their scopes in their contexts.
func ExampleContext() {
	logger := zap.New(zaph.New(stdoutCore(), nil))
	ctx := scope.NewContext(context.Background(), scope.New("job", "import-7"))

	scope.New("worker", 3).Run(func() {
		logger.Info("waiting")
		logger.Info("taking over", zaph.Context(ctx))
		job := logger.With(zaph.Context(ctx))
		job.Info("half done")
	})
	// Output:
	// {"level":"info","msg":"waiting","worker":3}
	// {"level":"info","msg":"taking over","job":"import-7"}
	// {"level":"info","msg":"half done","job":"import-7"}
}

// The scope's fields stay outside the namespaces of the logger.
func ExampleNew_namespace() {
	logger := zap.New(zaph.New(stdoutCore(), nil)).With(zap.Namespace("sql"), zap.String("table", "cards"))

	scope.New("request_id", "r-1").Run(func() {
		logger.Info("query", zap.Int("rows", 2))
	})
	// Output:
	// {"level":"info","msg":"query","request_id":"r-1","sql":{"table":"cards","rows":2}}
}

func ExampleNew_group() {
	logger := zap.New(zaph.New(stdoutCore(), &logadapters.Options{Group: "scope"}))

	scope.New("request_id", "r-1", "user", "ann").Run(func() {
		logger.Info("signed in", zap.Int("user", 17))
	})
	// Output:
	// {"level":"info","msg":"signed in","scope":{"request_id":"r-1","user":"ann"},"user":17}
}

func ExampleNew_filter() {
	logger := zap.New(zaph.New(stdoutCore(), &logadapters.Options{
		Filter: func(a slog.Attr) (slog.Attr, bool) {
			if a.Key == "email" {
				_, domain, _ := strings.Cut(a.Value.String(), "@")
				return slog.String("email_domain", domain), true
			}
			return a, a.Key != "password"
		},
	}))

	scope.New("request_id", "r-1", "email", "ann@example.com", "password", "x").Run(func() {
		logger.Info("signed in")
	})
	// Output:
	// {"level":"info","msg":"signed in","request_id":"r-1","email_domain":"example.com"}
}

func ExampleNew_maxFields() {
	logger := zap.New(zaph.New(stdoutCore(), &logadapters.Options{MaxFields: 2}))

	scope.New("a", 1, "b", 2, "c", 3, "d", 4).Run(func() {
		logger.Info("only the newest")
	})
	// Output:
	// {"level":"info","msg":"only the newest","c":3,"d":4,"scope_dropped":2}
}

func ExampleNew_duplicates() {
	for _, d := range []logadapters.Duplicates{logadapters.EventWins, logadapters.ScopeWins, logadapters.KeepBoth} {
		logger := zap.New(zaph.New(stdoutCore(), &logadapters.Options{Duplicates: d}))
		scope.New("user", "of the scope").Run(func() {
			logger.Info("hello", zap.String("user", "of the line"))
		})
	}
	// Output:
	// {"level":"info","msg":"hello","user":"of the line"}
	// {"level":"info","msg":"hello","user":"of the scope"}
	// {"level":"info","msg":"hello","user":"of the scope","user":"of the line"}
}

// LogAttrs is for code that logs with log/slog's attributes.
func ExampleLogAttrs() {
	logAttrs := zaph.LogAttrs(zap.New(zaph.New(stdoutCore(), nil)))

	scope.New("request_id", "r-1").Run(func() {
		logAttrs(context.Background(), slog.LevelWarn, "slow", slog.Int("ms", 912))
	})
	// Output:
	// {"level":"warn","msg":"slow","request_id":"r-1","ms":912}
}

// The one line at start-up. It is compiled and not run: what it prints has a time in it.
func ExampleWrapCore_startUp() {
	logger, err := zap.NewProduction(zaph.WrapCore(nil))
	if err != nil {
		panic(err)
	}
	zap.ReplaceGlobals(logger)
}
