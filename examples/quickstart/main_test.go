package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/scope"
)

func TestSelfcheckPrintsAllLinesAndTheirCounts(t *testing.T) {
	var out bytes.Buffer
	if err := selfcheck(&out, routes()); err != nil {
		t.Fatal(err)
	}
	lines, summary, _ := strings.Cut(out.String(), "\n\n")
	// Usually it is one connection per client, but a client may dial again.
	want := regexp.MustCompile(`^12 requests, 4 at a time, on \d+ kept-alive connections; carrier: ` + scope.Carrier() + `
slog 36, zap 36, zerolog 36 lines: each carries the id of its own request
$`)
	if !want.MatchString(summary) {
		t.Errorf("the summary is\n%swant\n%s", summary, want)
	}
	if n := strings.Count(lines, "\n") + 1; n != 3*36 {
		t.Errorf("%d lines, want %d", n, 3*36)
	}
	// Each way that code runs in has written a line for each of the 12 requests.
	for text, n := range map[string]int{
		`"from":"handler"`: 12, `"from":"deep"`: 12, `"from":"deeper"`: 12, `"from":"go"`: 12,
		`"from":"errgroup"`: 24, `"from":"scope.Go"`: 24, `is on its way`: 12,
	} {
		if got := strings.Count(lines, text); got != n {
			t.Errorf("%d lines with %s, want %d", got, text, n)
		}
	}
}

// changed serves order-7 after fn has changed its request.
func changed(fn func(r *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/order-7") {
			fn(r)
		}
		routes().ServeHTTP(w, r)
	})
}

func TestSelfcheckFailsWithTheOffendingLine(t *testing.T) {
	swap := changed(func(r *http.Request) { r.Header.Set("X-Request-Id", "req-8") })
	err := selfcheck(io.Discard, swap)
	if err == nil || !strings.Contains(err.Error(), `"req-7" carries "req-8"`) ||
		!strings.Contains(err.Error(), `"logger":"slog","request_id":"req-8","from":"handler","order":"order-7"`) {
		t.Errorf("got %v, want the first line of order-7", err)
	}
}

func TestSelfcheckFailsWhenLinesAreMissing(t *testing.T) {
	silent := changed(func(r *http.Request) { r.URL.Path = "/" })
	if err := selfcheck(io.Discard, silent); err == nil {
		t.Error("no error, though a request was not found")
	}
	mute := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	if err := selfcheck(io.Discard, mute); err == nil || !strings.Contains(err.Error(), "wrote 0 lines, not 36") {
		t.Errorf("got %v, though no line was written", err)
	}
}

func TestSelfcheckFailsWhenConnectionsAreNotKeptAlive(t *testing.T) {
	closing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		routes().ServeHTTP(w, r)
	})
	if err := selfcheck(io.Discard, closing); err == nil || !strings.Contains(err.Error(), "not kept alive") {
		t.Errorf("got %v, though each request had its own connection", err)
	}
}

func TestCheckRejectsALineOfAnotherRequest(t *testing.T) {
	const good = `{"logger":"zap","request_id":"req-7","from":"go","order":"order-7"}`
	if logger, err := check(good); logger != "zap" || err != nil {
		t.Fatalf("%s: %q, %v", good, logger, err)
	}
	for what, bad := range map[string]string{
		"another id":   strings.Replace(good, "req-7", "req-8", 1),
		"a longer id":  strings.Replace(good, "req-7", "req-77", 1),
		"no id":        strings.Replace(good, `"request_id":"req-7","from":"go",`, "", 1),
		"no order":     strings.Replace(good, "order-7", "", 1),
		"not JSON":     strings.TrimSuffix(good, "}"),
		"a left task":  strings.Replace(good, `"from"`, `"scope_ended":true,"from"`, 1),
		"another text": "order-7 req-7",
	} {
		if _, err := check(bad); err == nil {
			t.Errorf("%s: %s was accepted", what, bad)
		} else if !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: the error doesn't show the line: %v", what, err)
		}
	}
}

func TestServePrintsACurlCommandThatWorks(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl here")
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	read, write := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := serveForCurl(ctx, "127.0.0.1:0", write)
		write.Close()
		served <- err
	}()

	var stamped []string
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		switch line := strings.TrimSpace(lines.Text()); {
		case strings.HasPrefix(line, "curl "):
			// Meanwhile its log lines must be read, or the server waits.
			go func() {
				defer interrupt()
				answer, err := exec.Command("sh", "-c", strings.Replace(line, "curl", "curl -sS --max-time 10", 1)).CombinedOutput()
				if err != nil || string(answer) != "thank you\n" {
					t.Errorf("%s\n%v, %q", line, err, answer)
				}
			}()
		case strings.HasPrefix(line, "{"):
			stamped = append(stamped, line)
		}
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	// An interrupt drops nothing: the receipt, which is sent after the response, is there.
	if len(stamped) != 9 || !strings.Contains(stamped[8], "receipt sent") {
		t.Errorf("%d lines, want 9 and the receipt last:\n%s", len(stamped), strings.Join(stamped, "\n"))
	}
	for _, line := range stamped {
		if _, err := check(line); err != nil {
			t.Error(err)
		}
	}
}

func TestRequestsWithoutAnIdGetOneEach(t *testing.T) {
	rec := &recorder{out: io.Discard}
	logTo(rec)
	over, cancel := context.WithCancel(t.Context())
	cancel() // as the server does it when a handler has returned
	seen := map[string]bool{}
	for range 2 {
		routes().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(over, "GET", "/checkout/order-1", nil))
		if err := scope.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		var line struct {
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(rec.lines[len(rec.lines)-1]), &line); err != nil {
			t.Fatal(err)
		}
		if line.RequestID == "" || seen[line.RequestID] {
			t.Errorf("the id %q is no id, or is used twice", line.RequestID)
		}
		seen[line.RequestID] = true
	}
}
