package results_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/internal/results"
)

// The test of Command starts this test binary again, which then prints its environment.
const printEnvironment = "TASKSCOPE_TEST_ENVIRONMENT"

func TestMain(m *testing.M) {
	if os.Getenv(printEnvironment) != "" {
		os.Stdout.WriteString(strings.Join(os.Environ(), "\n") + "\n")
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func TestACommandRunsWithTheSettingsItIsGivenAndNoOthers(t *testing.T) {
	if runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("a program can't start another on " + runtime.GOOS)
	}
	t.Setenv("GOGC", "50")
	t.Setenv("GODEBUG", "")
	t.Setenv("TASKSCOPE_CARRIER", "portable")
	t.Setenv("TASKSCOPE_TEST_OTHER", "stays")
	output, err := results.Command([]string{printEnvironment + "=1", "GOGC=1"}, os.Args[0])
	if err == nil {
		t.Error("the exit code 3 is no error")
	}
	for setting, want := range map[string]bool{"GOGC=50": false, "GOGC=1": true, "TASKSCOPE_CARRIER=portable": false, "TASKSCOPE_TEST_OTHER=stays": true} {
		if got := strings.Contains("\n"+output, "\n"+setting+"\n"); got != want {
			t.Errorf("%s: %v, want %v", setting, got, want)
		}
	}
}

func TestWriteMakesTheFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "file.md")
	for _, text := range []string{"first", "then"} {
		if err := results.Write(file, text); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("the file has %q, %v", got, err)
		}
	}
}

func TestMeasuredWithNamesTheGoVersionAndThePlatform(t *testing.T) {
	for _, part := range []string{runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH} {
		if got := results.MeasuredWith(); !strings.Contains(got, part) {
			t.Errorf("%q doesn't have %q", got, part)
		}
	}
}
