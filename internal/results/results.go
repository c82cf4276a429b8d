// Package results is what the commands that write docs/results have in common.
package results

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Write writes a results file, and its folder if there is none.
func Write(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// MeasuredWith says what the figures were measured with: Go, the loggers, the machine.
func MeasuredWith() string {
	versions := runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			switch dep.Path {
			case "go.uber.org/zap", "github.com/rs/zerolog":
				versions += ", " + path.Base(dep.Path) + " " + dep.Version
			}
		}
	}
	return fmt.Sprintf("%s on %s/%s, GOMAXPROCS=%d", versions, runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
}

// Command runs a program in the current folder with more in its environment. What would
// change how it runs in this environment is left out.
func Command(env []string, name string, args ...string) (output string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	for _, setting := range os.Environ() {
		switch name, _, _ := strings.Cut(setting, "="); name {
		case "TASKSCOPE_CARRIER", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOEXPERIMENT":
		default:
			cmd.Env = append(cmd.Env, setting)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	text, err := cmd.CombinedOutput()
	return string(text), err
}
