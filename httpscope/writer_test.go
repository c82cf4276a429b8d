package httpscope_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/felixge/httpsnoop"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/internal/testkit/scopekit"
	"github.com/taskscope/taskscope/scope"
)

// interfaces are those that a ResponseWriter may have.
var interfaces = []struct {
	name string
	has  func(http.ResponseWriter) bool
}{
	{"Flush", has[http.Flusher]},
	{"FlushError", has[interface{ FlushError() error }]},
	{"Hijack", has[http.Hijacker]},
	{"Push", has[http.Pusher]},
	{"ReadFrom", has[io.ReaderFrom]},
	{"WriteString", has[io.StringWriter]},
	{"SetReadDeadline", has[interface{ SetReadDeadline(time.Time) error }]},
	{"SetWriteDeadline", has[interface{ SetWriteDeadline(time.Time) error }]},
	{"EnableFullDuplex", has[interface{ EnableFullDuplex() error }]},
	{"CloseNotify", has[interface{ CloseNotify() <-chan bool }]},
}

func has[T any](w http.ResponseWriter) bool { _, ok := w.(T); return ok }

func interfacesOf(w http.ResponseWriter) (names []string) {
	for _, i := range interfaces {
		if i.has(w) {
			names = append(names, i.name)
		}
	}
	return names
}

// withAndWithout runs fn without a log and with one.
func withAndWithout(t *testing.T, fn func(t *testing.T, opts *httpscope.Options, out *testkit.Lines)) {
	t.Run("no log", func(t *testing.T) { fn(t, nil, nil) })
	t.Run("log", func(t *testing.T) {
		out := testkit.NewLines()
		fn(t, &httpscope.Options{Log: slogTo(out).LogAttrs}, out)
	})
}

func TestTheResponseWriterKeepsItsInterfaces(t *testing.T) {
	withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
		outside, inside := make(chan []string, 1), make(chan []string, 1)
		h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			inside <- interfacesOf(w)
		}), opts)
		overEach(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			outside <- interfacesOf(w)
			h.ServeHTTP(w, r)
		}), func(t *testing.T, s *service) {
			s.get("/")
			got, want := testkit.Receive(t, inside, "request"), testkit.Receive(t, outside, "request")
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			// The comparison would be of little use if there were nothing to keep.
			must := []string{"Flush", "Hijack", "ReadFrom", "SetReadDeadline"}
			if s.protocol.major == 2 {
				must = []string{"Flush", "Push", "SetReadDeadline"}
			}
			for _, name := range must {
				if !slices.Contains(got, name) {
					t.Errorf("no %s over %s", name, s.protocol.name)
				}
			}
		})
	})
}

// A plain is a ResponseWriter and nothing else.
type plain struct{ header http.Header }

func (p plain) Header() http.Header         { return p.header }
func (p plain) Write(b []byte) (int, error) { return len(b), nil }
func (p plain) WriteHeader(int)             {}

type (
	flusher  struct{ plain }
	hijacker struct{ plain }
	pusher   struct {
		plain
		pushed *string
	}
	copier struct {
		plain
		from *io.Reader
	}
)

func (flusher) Flush() {}

func (hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, net.ErrClosed }

func (p pusher) Push(target string, _ *http.PushOptions) error { *p.pushed = target; return nil }

func (c copier) ReadFrom(r io.Reader) (int64, error) {
	*c.from = r
	return io.Copy(struct{ io.Writer }{c.plain}, r)
}

func TestTheResponseWriterGetsNoInterfaceThatItHasNot(t *testing.T) {
	withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
		p := plain{http.Header{}}
		for _, c := range []struct {
			w    http.ResponseWriter
			want []string
		}{
			{p, nil},
			{flusher{p}, []string{"Flush"}},
			{hijacker{p}, []string{"Hijack"}},
			{pusher{p, nil}, []string{"Push"}},
			{copier{p, nil}, []string{"ReadFrom"}},
			{struct {
				http.ResponseWriter
				http.Flusher
				io.ReaderFrom
			}{ResponseWriter: p}, []string{"Flush", "ReadFrom"}},
		} {
			h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if got := interfacesOf(w); !slices.Equal(got, c.want) {
					t.Errorf("%T has got %q, want %q", c.w, got, c.want)
				}
			}), opts)
			h.ServeHTTP(c.w, newRequest(t))
		}
	})
}

// The answers to the writers of common middleware do all that these do, and take one allocation.
func TestBehindTheWritersOfMiddleware(t *testing.T) {
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"fancy": func(w http.ResponseWriter) http.ResponseWriter { // as chi's
			return struct {
				http.ResponseWriter
				http.Flusher
				http.Hijacker
				io.ReaderFrom
			}{w, w.(http.Flusher), w.(http.Hijacker), w.(io.ReaderFrom)}
		},
		"snooped": func(w http.ResponseWriter) http.ResponseWriter { // as otelhttp's
			return httpsnoop.Wrap(w, httpsnoop.Hooks{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := testkit.NewLines()
			mux := http.NewServeMux()
			mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "a")
				w.(http.Flusher).Flush()
				if n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("bc")); n != 2 || err != nil {
					t.Errorf("copied %d bytes, %v", n, err)
				}
				if n, err := io.WriteString(w, "d"); n != 1 || err != nil {
					t.Errorf("wrote %d bytes, %v", n, err)
				}
			})
			mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			})
			mux.HandleFunc("/control", func(w http.ResponseWriter, r *http.Request) {
				if c, ok := w.(interface{ CloseNotify() <-chan bool }); ok && c.CloseNotify() == nil {
					t.Error("CloseNotify returns nil")
				}
				c := http.NewResponseController(w)
				past := time.Now().Add(-time.Second)
				if err := errors.Join(c.EnableFullDuplex(), c.SetWriteDeadline(time.Now().Add(time.Hour)), c.SetReadDeadline(past)); err != nil && name == "snooped" {
					t.Error(err)
				}
			})
			h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mux.ServeHTTP(w, r)
			}), &httpscope.Options{Log: slogTo(out).LogAttrs})
			empty := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), nil)
			s := http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w = wrap(w)
				httpscope.Handler(http.HandlerFunc(func(inside http.ResponseWriter, _ *http.Request) {
					if got, want := interfacesOf(inside), interfacesOf(w); !slices.Equal(got, want) {
						t.Errorf("got  %q\nwant %q", got, want)
					}
				}), nil).ServeHTTP(w, r)
				if r.URL.Path == "/allocations" {
					if got := testing.AllocsPerRun(100, func() { empty.ServeHTTP(w, r) }); got > 13 {
						t.Errorf("%v allocations", got)
					}
					return
				}
				h.ServeHTTP(w, r)
			}), nil)
			if _, body := s.get("/stream"); body != "abcd" {
				t.Errorf("the body is %q", body)
			}
			out.Next(t).Want(t, testkit.Line{"http.response.body.size": 4.0, "http.response.status_code": 200.0})
			s.get("/control")
			out.Next(t).Want(t, testkit.Line{"http.response.status_code": 200.0})
			if _, body := s.get("/hijack"); body != "ok" {
				t.Errorf("the body is %q", body)
			}
			out.Next(t).Want(t, testkit.Line{"http.response.status_code": nil})
			scopekit.SkipUnlessLean(t)
			s.get("/allocations")
		})
	}
}

func newRequest(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// net/http's ReadFrom is what uses sendfile, which needs to see the file.
func TestAFileReachesReadFrom(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	withAndWithout(t, func(t *testing.T, opts *httpscope.Options, out *testkit.Lines) {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var from io.Reader
		httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			// As http.ServeContent does it.
			if n, err := io.CopyN(w, file, int64(len("content"))); n != int64(len("content")) || err != nil {
				t.Errorf("copied %d bytes, %v", n, err)
			}
		}), opts).ServeHTTP(copier{plain{http.Header{}}, &from}, newRequest(t))
		if limited, ok := from.(*io.LimitedReader); !ok || limited.R != file {
			t.Errorf("ReadFrom was given %T, not the file", from)
		}
		if out != nil {
			out.Next(t).Want(t, testkit.Line{"http.response.body.size": 7.0, "http.response.status_code": 200.0})
		}
	})
}

func TestPush(t *testing.T) {
	withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
		var pushed string
		push := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if err := w.(http.Pusher).Push("/style.css", nil); err != nil {
				t.Error(err)
			}
		})
		httpscope.Handler(push, opts).ServeHTTP(pusher{plain{http.Header{}}, &pushed}, newRequest(t))
		if pushed != "/style.css" {
			t.Errorf("pushed %q", pushed)
		}
	})
}

// Each event is there before the next one is made.
func TestServerSentEventsArriveOneByOne(t *testing.T) {
	for name, flush := range map[string]func(http.ResponseWriter) error{
		"Flusher":            func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil },
		"ResponseController": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			withAndWithout(t, func(t *testing.T, opts *httpscope.Options, out *testkit.Lines) {
				received := make(chan struct{})
				h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					for i := range 3 {
						scope.Set("events", i+1)
						fmt.Fprintf(w, "data: %d\n\n", i)
						if err := flush(w); err != nil {
							t.Error(err)
						}
						select {
						case <-received:
						case <-r.Context().Done():
							t.Error("the client has gone")
						}
					}
				}), opts)
				overEach(t, h, func(t *testing.T, s *service) {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					resp, err := s.client.Do(s.request("GET", "/", nil).WithContext(ctx))
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					events := bufio.NewScanner(resp.Body)
					for i := range 3 {
						for events.Scan() && events.Text() == "" {
						}
						if events.Text() != fmt.Sprint("data: ", i) {
							t.Fatalf("event %d is %q, %v", i, events.Text(), events.Err())
						}
						received <- struct{}{}
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						t.Error(err)
					}
					if out != nil {
						out.Next(t).Want(t, testkit.Line{"events": 3.0, "http.response.body.size": 27.0})
					}
				})
			})
		})
	}
}

func TestDeadlinesReachTheConnection(t *testing.T) {
	withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
		outcome := make(chan error, 1)
		h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			if err := errors.Join(c.SetReadDeadline(time.Now().Add(-time.Second)), c.SetWriteDeadline(time.Now().Add(time.Hour))); err != nil {
				t.Error(err)
			}
			if r.ProtoMajor == 1 {
				if err := c.EnableFullDuplex(); err != nil {
					t.Error(err)
				}
			}
			_, err := r.Body.Read(make([]byte, 1))
			outcome <- err
		}), opts)
		overEach(t, h, func(t *testing.T, s *service) {
			body, stop := io.Pipe() // nothing ever comes
			defer stop.Close()
			req := s.request("POST", "/", body)
			req.Close = true
			done := make(chan struct{})
			go func() {
				defer close(done)
				if resp, err := s.client.Do(req); err == nil {
					resp.Body.Close()
				}
			}()
			if err := testkit.Receive(t, outcome, "end of the read"); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the read ends with %v", err)
			}
			stop.Close()
			testkit.Receive(t, done, "response")
		})
	})
}

func TestWebSocket(t *testing.T) {
	withAndWithout(t, func(t *testing.T, opts *httpscope.Options, out *testkit.Lines) {
		talk := testkit.NewLines()
		logger := slogTo(talk)
		h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.CloseNow()
			for {
				kind, text, err := conn.Read(r.Context())
				if err != nil {
					return
				}
				scope.Set("last", string(text))
				logger.Info("received")
				if err := conn.Write(r.Context(), kind, []byte(strings.ToUpper(string(text)))); err != nil {
					t.Error(err)
				}
			}
		}), opts)
		s := http1.serve(t, h, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, s.URL, &websocket.DialOptions{HTTPHeader: http.Header{"X-Request-Id": {"ws"}}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		for _, word := range []string{"one", "two"} {
			if err := conn.Write(ctx, websocket.MessageText, []byte(word)); err != nil {
				t.Fatal(err)
			}
			if _, text, err := conn.Read(ctx); err != nil || string(text) != strings.ToUpper(word) {
				t.Errorf("%s is answered by %q, %v", word, text, err)
			}
			talk.Next(t).Want(t, testkit.Line{"request_id": "ws", "last": word, "scope_ended": nil})
		}
		if out != nil {
			out.None(t) // the request is going on
		}
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
		if out != nil {
			out.Next(t).Want(t, testkit.Line{"request_id": "ws", "last": "two", "http.response.status_code": 101.0, "level": "INFO"})
		}
	})
}
