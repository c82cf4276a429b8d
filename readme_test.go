package taskscope_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/internal/testkit"
)

// isServer reports whether a block is the server of README.md, which TestTheServerOfTheREADME runs.
func isServer(block string) bool { return strings.Contains(block, "http.ListenAndServe(") }

// What the server of README.md leaves out: imports, and functions that log with one of the loggers
// and with package log, and that ask another service.
const serverImports = `package main

import (
	"fmt"
	stdlog "log"
	"log/slog"
	"net/http"
	"os"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/scope"
`

const serverRest = `
func charge(client *http.Client) {
	CHARGING
	resp, err := client.Get(os.Getenv("STOCK"))
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
}

func sendReceipt() { stdlog.Print("receipt") }
`

// Each row of the table below that server: what it needs besides.
var serverLoggers = map[string]struct{ imports, line string }{
	"slog":    {`"github.com/taskscope/taskscope/slogh"`, `slog.Info("charging")`},
	"zap":     {`"github.com/taskscope/taskscope/zaph"; "go.uber.org/zap"`, `zap.L().Info("charging")`},
	"zerolog": {`"github.com/taskscope/taskscope/zeroh"; "github.com/rs/zerolog/log"`, `log.Info().Msg("charging")`},
}

// The server on the first screen works as it stands there, and with what the table below it says
// of each logger: all lines of a request have its id and the field of the process, those of package
// log too, and the id goes on to the next service.
func TestTheServerOfTheREADME(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the go command")
	}
	readme := documents(t)[0]
	var server string
	for _, b := range readme.blocks(t) {
		if isServer(b.text) {
			server = b.text
		}
	}
	rows := regexp.MustCompile(`(?m)^\| (\w+) \| (.+) \| (.+) \| (.+) \| (.+) \|$`).FindAllStringSubmatch(readme.text, -1)
	code := func(cell string) (statements []string) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
			statements = append(statements, m[1])
		}
		return statements
	}
	const slogsOwn = "slog.SetDefault(slog.New(slogh.New(slog.NewJSONHandler(os.Stdout, nil), nil)))"
	tested := 0
	for _, row := range rows {
		if row[1] == "logger" {
			continue
		}
		logger, known := serverLoggers[row[1]]
		if !known {
			t.Errorf("no test for the row %q", row[0])
			continue
		}
		tested++
		t.Run(row[1], func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := l.Addr().String()
			l.Close()
			start := append(code(row[2]), code(row[4])...)
			if row[1] == "slog" { // "as above"
				start = append(start, slogsOwn)
			}
			const serve = `http.ListenAndServe(":8080", handler)`
			last := `slog.Error("server", "err", ` + serve + `)`
			end := last
			if line := code(row[5]); len(line) > 0 { // else "as above"
				end = "err := " + serve + "\n" + line[0]
			}
			program := server
			for _, r := range [][2]string{
				{slogsOwn, strings.Join(start, "\n")},
				{"slog.LogAttrs", strings.Join(code(row[3]), "")},
				{last, end},
				{`":8080"`, `"` + addr + `"`},
			} {
				if strings.Count(program, r[0]) != 1 {
					t.Fatalf("not once in the server: %s", r[0])
				}
				program = strings.Replace(program, r[0], r[1], 1)
			}
			serveRequest(t, addr, serverImports+logger.imports+"\n)\n"+program+strings.Replace(serverRest, "CHARGING", logger.line, 1))
		})
	}
	if tested != len(serverLoggers) {
		t.Errorf("the table has %d rows, want %d", tested, len(serverLoggers))
	}
}

// serveRequest runs a program that serves at addr, sends it a request, and looks at what it logs.
func serveRequest(t *testing.T, addr, program string) {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	app := newModule(t, filepath.Join(t.TempDir(), "app"), program)
	run(t, app, "go mod edit -require=github.com/taskscope/taskscope@v0.0.0 -replace=github.com/taskscope/taskscope='"+root+"' && go mod tidy 2>/dev/null && go build -o server.exe .")
	asked := make(chan string, 1)
	stock := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("X-Request-Id") }))
	defer stock.Close()
	var out testkit.Buffer
	cmd := exec.Command(filepath.Join(app, "server.exe"))
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "STOCK="+stock.URL, "TASKSCOPE_CARRIER=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var resp *http.Response
	for end := time.Now().Add(testkit.Patience); ; time.Sleep(10 * time.Millisecond) {
		if resp, err = http.Post("http://"+addr+"/orders/7", "", nil); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	resp.Body.Close()
	id := resp.Header.Get("X-Request-Id")
	if got := <-asked; id == "" || got != id {
		t.Errorf("the next service gets the id %q, the answer has %q", got, id)
	}
	missing := map[string]bool{"charging": true, "request": true, "receipt": true}
	for end := time.Now().Add(testkit.Patience); strings.Count(out.String(), "\n") < len(missing) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	for text := range strings.Lines(out.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("not stamped, %v: %s", err, text)
			continue
		}
		message, ok := line["msg"].(string)
		if !ok {
			message, _ = line["message"].(string)
		}
		delete(missing, message)
		if line["request_id"] != id || line["service"] != "shop" || line["order"] != "7" {
			t.Errorf("want request_id=%s service=shop order=7: %s", id, text)
		}
		if message == "request" && line["http.response.status_code"] != 200. {
			t.Errorf("no last line: %s", text)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no such lines: %v\n%s", missing, out.String())
	}
}
