package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// The test runs the program by running itself.
func TestMain(m *testing.M) {
	if os.Getenv("HTTPSERVER_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestServeAnswersTheCurlCommandAndEndsInOrder(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil || runtime.GOOS == "windows" {
		t.Skip("no curl here, or no way to interrupt a process")
	}
	program := exec.Command(os.Args[0], "-serve", "-addr", "127.0.0.1:0")
	program.Env = append(os.Environ(), "HTTPSERVER_MAIN=1")
	program.Stderr = os.Stderr
	output, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer program.Process.Kill()

	answered := regexp.MustCompile(`(?i)\nX-Request-Id: ([0-9a-f-]{36})\r\n`)
	var id string
	var logged []string
	for lines := bufio.NewScanner(output); lines.Scan(); {
		switch line := strings.TrimSpace(lines.Text()); {
		case strings.HasPrefix(line, "curl "):
			answer, err := exec.Command("sh", "-c", "exec "+strings.Replace(line, "curl", "curl -sS --max-time 10", 1)).CombinedOutput()
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK") || !strings.HasSuffix(string(answer), "\r\n\r\nthank you\n") {
				t.Errorf("%s\n%v, %q", line, err, answer)
			}
			if m := answered.FindStringSubmatch(string(answer)); m != nil {
				id = m[1]
			}
			if err := program.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		case strings.HasPrefix(line, "{"):
			logged = append(logged, line)
		}
	}
	if err := program.Wait(); err != nil {
		t.Error(err)
	}
	if id == "" {
		t.Error("the response has no id")
	}
	// The interrupt drops nothing, not even what comes after the response.
	for i, want := range []string{"charging card", "request", "receipt sent"} {
		var line struct {
			Msg       string
			RequestID string `json:"request_id"`
		}
		if i >= len(logged) {
			t.Fatalf("there is no line %q: %q", want, logged)
		}
		if err := json.Unmarshal([]byte(logged[i]), &line); err != nil || line.Msg != want || line.RequestID != id {
			t.Errorf("%v: %s\nwant %q with the id of the response, %s", err, logged[i], want, id)
		}
	}
}
