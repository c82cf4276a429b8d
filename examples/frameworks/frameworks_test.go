package frameworks

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/scopetest"
)

// A request is one that all servers get.
type request struct {
	method, path string
	status       int    // of the answer; 0: the connection ends without one
	route        string // "" if there is none
	lines        int    // of the handler, with the id
	part         string // that an upload has; "": file
}

var requests = []request{
	{"GET", "/users/7", 200, "/users/{id}", 1, ""},
	{"GET", "/nope", 404, "", 0, ""},
	{"GET", "/teapot", 418, "/teapot", 0, ""},
	{"GET", "/fail", 0, "/fail", 1, ""},
	{"GET", "/slow", 503, "/slow", 1, ""},
	{"POST", "/upload", 200, "/upload", 1, ""},
	{"GET", "/events", 200, "/events", 3, ""},
	{"GET", "/echo", 101, "/echo", 1, ""},
}

// badUpload has the file in a part that the handler doesn't look for. It isn't in the document's table.
var badUpload = request{"POST", "/upload", 400, "/upload", 0, "other"}

func TestChi(t *testing.T)     { test(t, "chi", Chi(), "/users/{id}") }
func TestGin(t *testing.T)     { test(t, "gin", Gin(), "/users/:id") }
func TestEcho4(t *testing.T)   { test(t, "echo v4", Echo4(), "/users/:id") }
func TestEcho5(t *testing.T)   { test(t, "echo v5", Echo5(), "/users/:id") }
func TestGorilla(t *testing.T) { test(t, "gorilla/mux", Gorilla(), "/users/{id}") }

// A gateway has statuses of its own for what a gRPC server answers. Watch, a stream of
// gRPC, becomes lines of JSON; server-sent events are a plain handler's.
func TestGateway(t *testing.T) {
	server, err := Gateway(startUsers(t))
	if err != nil {
		t.Fatal(err)
	}
	test(t, "grpc-gateway", server, "/users/{value=*}",
		request{"GET", "/fail", 500, "/fail", 2, ""},
		request{"GET", "/slow", 504, "/slow", 1, ""},
		request{"GET", "/watch", 200, "/watch", 3, ""})
}

// startUsers starts the gRPC server, and connects to it before there is any request: the
// goroutines of a connection live longer than a request does.
func startUsers(t *testing.T) *grpc.ClientConn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Users()
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{"service": "users.Users", "method": "Slow"}], "timeout": "0.2s"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(t.Context(), state) {
			t.Fatal("no connection")
		}
	}
	return conn
}

// test sends server all requests. Others take the place of those with their path, or come behind.
func test(t *testing.T, name string, server http.Handler, userRoute string, others ...request) {
	todo := slices.Clone(requests)
	for _, o := range others {
		if i := slices.IndexFunc(todo, func(r request) bool { return r.path == o.path }); i >= 0 {
			todo[i] = o
		} else {
			todo = append(todo, o)
		}
	}
	documented(t, name, todo)
	for _, r := range append(todo, badUpload) {
		t.Run(r.method+r.path+r.part, func(t *testing.T) {
			rec := scopetest.Record(t)
			answer := send(t, server, r)
			lines := linesOf(rec, 1)
			last := lines[len(lines)-1]
			id := last.String("request_id")
			if answer.id != id && r.status != 0 || len(id) < 30 {
				t.Errorf("the answer has the id %q, the last line %q", answer.id, id)
			}
			for _, l := range lines {
				if l.String("request_id") != id {
					t.Errorf("a line with another id: %v", l)
				}
			}
			if len(lines) != r.lines+1 || last.Message != "request" {
				t.Errorf("%d lines: %v", len(lines), lines)
			}
			route := r.route
			if r.path == "/users/7" {
				route = userRoute
			}
			if got := last.String("http.route"); got != route {
				t.Errorf("the route is %q, want %q", got, route)
			}
			if got := last.String("url.path"); route == "" && got != r.path {
				t.Errorf("the path is %q", got)
			}
			switch {
			case answer.status != r.status:
				t.Errorf("the answer is %d, want %d", answer.status, r.status)
			case r.status == 0:
				if last.String("exception.message") != "no database" || last.Has("http.response.status_code") {
					t.Errorf("the last line is %v", last)
				}
			case last.Int("http.response.status_code") != r.status:
				t.Errorf("the last line is %v", last)
			}
		})
	}
}

// documented checks the row of docs/frameworks.md that says how a server answers.
func documented(t *testing.T, name string, todo []request) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/frameworks.md")
	if err != nil {
		t.Fatal(err)
	}
	row := "\n| " + name + " |"
	for _, r := range todo[:len(requests)] {
		if r.status == 0 {
			row += " none |"
		} else {
			row += fmt.Sprintf(" %d |", r.status)
		}
	}
	if !strings.Contains(string(doc), row) {
		t.Errorf("docs/frameworks.md has no row%s", row)
	}
}

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// linesOf returns the lines when the last ones of this many servers are there: nobody waits for a WebSocket's.
func linesOf(rec *scopetest.Recorder, servers int) []scopetest.Line {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		lines, ended := rec.Lines(), 0
		for _, l := range lines {
			if l.Message == "request" {
				ended++
			}
		}
		if ended >= servers || time.Since(start) > patience {
			return lines
		}
	}
}

// silent is for net/http, which reports a panic once more, when the request is over.
var silent = log.New(io.Discard, "", 0)

// An answer is what came back.
type answer struct {
	status int // 0 iff nothing came
	id     string
}

func send(t *testing.T, server http.Handler, r request) (a answer) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp) // where net/http keeps the part of an upload that is over 32 MiB
	srv := httptest.NewUnstartedServer(server)
	srv.Config.ErrorLog = silent
	srv.Start()
	defer func() {
		srv.Close() // waits for the last line
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("files are left behind: %v, %v", left, err)
		}
	}()
	if r.path == "/echo" {
		return greet(t, srv.URL+r.path)
	}
	var body io.Reader
	contentType := ""
	if r.method == "POST" {
		body, contentType = form(cmp.Or(r.part, "file"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, srv.URL+r.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	var ask func()
	if r.path == "/events" {
		ask = tell(ctx)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	if ask != nil {
		watch(t, resp.Body, ask)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("X-Request-Id")}
}

// form returns a form with a file that is too large for memory, in a part of this name.
func form(part string) (body io.Reader, contentType string) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	file, _ := w.CreateFormFile(part, "a.txt")
	_, _ = file.Write(bytes.Repeat([]byte("x"), 33<<20))
	_ = w.Close()
	return &form, w.FormDataContentType()
}

// tell has the handler of /events send three events. Each but the first has to be asked for.
func tell(ctx context.Context) (ask func()) {
	asked := make(chan struct{}, 3)
	ask = func() { asked <- struct{}{} }
	go func() {
		for i := range 3 {
			select {
			case news <- i:
				<-asked
			case <-ctx.Done():
				return
			}
		}
	}()
	return ask
}

// watch reads the events, and asks for the next when one is there: so none waits for the handler's end.
func watch(t *testing.T, body io.Reader, ask func()) {
	n := 0
	for s := bufio.NewScanner(body); s.Scan(); {
		if strings.HasPrefix(s.Text(), "data: ") {
			n++
			ask()
		}
	}
	if n != 3 {
		t.Errorf("%d events", n)
	}
}

// greet sends a message through a WebSocket.
func greet(t *testing.T, url string) answer {
	ctx := context.Background()
	conn, resp, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Error(err)
	}
	if _, message, err := conn.Read(ctx); err != nil || string(message) != "hello" {
		t.Errorf("got %q, %v", message, err)
	}
	_, _, _ = conn.Read(ctx) // until it is closed
	return answer{resp.StatusCode, resp.Header.Get("X-Request-Id")}
}

func TestProxy(t *testing.T) {
	rec := scopetest.Record(t)
	scope.Set("server", "backend") // on the lines of those that are made next
	defer scope.Clear()
	backend := httptest.NewUnstartedServer(Chi())
	backend.Config.ErrorLog = silent
	backend.Start()
	defer backend.Close()
	u, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	scope.Set("server", "proxy")
	proxy := Proxy(u)
	todo := slices.Clone(requests)
	for i := range todo {
		if todo[i].status == 0 {
			todo[i].status = http.StatusBadGateway // the proxy's own answer
		}
	}
	documented(t, "ReverseProxy", todo)
	for _, r := range append(todo, badUpload) {
		rec.Reset()
		a := send(t, proxy, r)
		if a.status != r.status || len(a.id) < 30 {
			t.Errorf("%s: the answer is %d with the id %q", r.path, a.status, a.id)
		}
		ended := map[string]bool{}
		for _, l := range linesOf(rec, 2) {
			if l.String("request_id") != a.id {
				t.Errorf("%s: a line with another id: %s", r.path, l)
			}
			if l.Message != "request" {
				continue
			}
			server := l.String("server")
			ended[server] = true
			switch {
			case server == "proxy" && r.status == 101 || server == "backend" && r.path == "/fail":
				if l.Has("http.response.status_code") {
					t.Errorf("%s: there is a status: %s", r.path, l)
				}
			case l.Int("http.response.status_code") != r.status:
				t.Errorf("%s: want the status %d: %s", r.path, r.status, l)
			}
		}
		if !ended["proxy"] || !ended["backend"] {
			t.Errorf("%s: last lines of %v", r.path, ended)
		}
	}
}

// Whoever reads one of the servers reads less than two screens.
func TestServersAreShort(t *testing.T) {
	const limit = 80
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		if file == "frameworks.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		n++
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); lines > limit {
			t.Errorf("%s has %d lines, want at most %d", file, lines, limit)
		}
	}
	if n < 9 {
		t.Errorf("only %d servers found", n)
	}
}
