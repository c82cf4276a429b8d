package httpscope_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// upload returns a form with a file of n bytes, and its content type.
func upload(n int) (*bytes.Buffer, string) { return uploadOf(strings.Repeat("x", n)) }

func uploadOf(content string) (*bytes.Buffer, string) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, _ := form.CreateFormFile("file", "file.bin")
	_, _ = io.WriteString(file, content)
	_ = form.WriteField("name", "value")
	_ = form.Close()
	return &body, form.FormDataContentType()
}

// parse reads the form that upload makes, with its file on the disk.
func parse(t *testing.T, r *http.Request) {
	t.Helper()
	if err := r.ParseMultipartForm(1); err != nil {
		t.Error(err)
	}
	if len(files(t)) == 0 {
		t.Error("there is no file, so this shows nothing")
	}
}

// temporary gives the test a folder of its own for temporary files; files lists it.
func temporary(t *testing.T) { t.Setenv("TMPDIR", t.TempDir()) }

func files(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantNoFiles(t *testing.T) {
	t.Helper()
	for range 2000 { // net/http removes them after the answer
		if len(files(t)) == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d files are left on the disk", len(files(t)))
}

func TestTheFilesOfAnUploadAreRemoved(t *testing.T) {
	recovers := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { _ = recover() }()
			h.ServeHTTP(w, r)
		})
	}
	for _, c := range []struct {
		rule   string
		handle func(t *testing.T, w http.ResponseWriter, r *http.Request)
		around func(http.Handler) http.Handler
		fails  bool
	}{
		{"returned", func(t *testing.T, w http.ResponseWriter, r *http.Request) { parse(t, r) }, nil, false},
		{"answered", func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			parse(t, r)
			_, _ = io.WriteString(w, "thanks")
		}, nil, false},
		{"by FormFile", func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<30)
			parse(t, r)
			if file, _, err := r.FormFile("file"); err != nil {
				t.Error(err)
			} else {
				file.Close()
			}
		}, nil, false},
		{"a panic", func(t *testing.T, _ http.ResponseWriter, r *http.Request) {
			parse(t, r)
			panic("boom")
		}, nil, true},
		{"an abort", func(t *testing.T, _ http.ResponseWriter, r *http.Request) {
			parse(t, r)
			panic(http.ErrAbortHandler)
		}, nil, true},
		{"runtime.Goexit", func(t *testing.T, _ http.ResponseWriter, r *http.Request) {
			parse(t, r)
			runtime.Goexit()
		}, nil, true},
		{"a panic that is recovered outside", func(t *testing.T, _ http.ResponseWriter, r *http.Request) {
			parse(t, r)
			panic("boom")
		}, recovers, false},
		{"an inner Handler", func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { parse(t, r) }), nil).ServeHTTP(w, r)
		}, nil, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
				h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.handle(t, w, r) }), opts)
				if c.around != nil {
					h = c.around(h)
				}
				for _, p := range protocols {
					t.Run(p.name, func(t *testing.T) {
						temporary(t)
						s := p.serve(t, h, nil)
						body, kind := upload(1 << 20)
						if _, _, err := s.do(s.request("POST", "/", body, "Content-Type", kind)); (err != nil) != c.fails {
							t.Errorf("the client has got %v", err)
						}
						wantNoFiles(t)
					})
				}
			})
		})
	}
}

// What a middleware finds in its request after a handler is what it finds without Handler
// in between.
func TestAMiddlewareOutsideSeesWhatWasFoundInside(t *testing.T) {
	type seen struct {
		Pattern, Form, PostForm, Multipart, Header, Ctx string
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users/{id}/{rest...}", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
			_ = r.ParseMultipartForm(1 << 20)
		} else {
			_ = r.ParseForm()
		}
		if r.URL.Query().Get("panic") != "" {
			panic("boom")
		}
	})
	through := func(inner http.Handler) http.Handler { // a middleware that doesn't show what it wraps
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(w, r) })
	}
	type key struct{}
	look := func(t *testing.T, inner http.Handler, target, kind string, body io.Reader) (s seen) {
		outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.WithContext(context.WithValue(r.Context(), key{}, "mine"))
			ctx, header := r.Context(), fmt.Sprint(r.Header)
			defer func() {
				_ = recover()
				s = seen{
					Pattern: r.Pattern,
					Form:    fmt.Sprint(r.Form), PostForm: fmt.Sprint(r.PostForm), Multipart: fmt.Sprint(r.MultipartForm != nil),
				}
				if r.Context() != ctx {
					s.Ctx = "another context"
				}
				if fmt.Sprint(r.Header) != header {
					s.Header = fmt.Sprint(r.Header)
				}
			}()
			inner.ServeHTTP(w, r)
		})
		service := http1.serve(t, outer, nil)
		if _, _, err := service.do(service.request("POST", target, body, "Content-Type", kind)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	form := func() (io.Reader, string) {
		return strings.NewReader("a=1&b=2"), "application/x-www-form-urlencoded"
	}
	file := func() (io.Reader, string) { return upload(10) }
	for _, target := range []string{"/users/7/a/b?q=1", "/users/7/a/b?panic=1", "/elsewhere"} {
		for name, body := range map[string]func() (io.Reader, string){"form": form, "file": file} {
			for what, inner := range map[string]http.Handler{"mux": mux, "hidden mux": through(mux)} {
				t.Run(fmt.Sprint(target, " ", name, " ", what), func(t *testing.T) {
					b, kind := body()
					want := look(t, inner, target, kind, b)
					if (want.Pattern == "") != (target == "/elsewhere") {
						t.Fatalf("bare: %+v", want)
					}
					withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
						b, kind := body()
						if got := look(t, httpscope.Handler(inner, opts), target, kind, b); got != want {
							t.Errorf("got  %+v\nwant %+v", got, want)
						}
					})
				})
			}
		}
	}
}

func TestTrailersArrive(t *testing.T) {
	for _, announced := range []bool{false, true} {
		t.Run(fmt.Sprint("announced ", announced), func(t *testing.T) {
			withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
				got := make(chan string, 2)
				h := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					got <- r.Trailer.Get("Sum")
				}), opts)
				s := http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					h.ServeHTTP(w, r)
					got <- r.Trailer.Get("Sum")
				}), nil)
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				announce := ""
				if announced {
					announce = "Trailer: Sum\r\n"
				}
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%s\r\n3\r\nabc\r\n0\r\nSum: 294\r\n\r\n", announce)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				for _, who := range []string{"inside", "outside"} {
					if sum := testkit.Receive(t, got, "trailer"); sum != "294" {
						t.Errorf("%s the trailer is %q", who, sum)
					}
				}
			})
		})
	}
}

// With the race detector: a middleware may watch its request while the handler runs, and a
// handler may outlive its ServeHTTP.
func TestNobodyRaces(t *testing.T) {
	withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
		temporary(t)
		var behind, watching sync.WaitGroup
		mux := http.NewServeMux()
		mux.HandleFunc("/{id}", func(w http.ResponseWriter, r *http.Request) {
			defer behind.Done()
			for i := range 20 {
				_, _ = r.Body.Read(make([]byte, 100, 200))
				r.Header.Set("Inside", fmt.Sprint(i))
				w.Header().Set("Inside", fmt.Sprint(i))
				scope.Set("i", i)
				time.Sleep(100 * time.Microsecond)
			}
			_ = r.ParseMultipartForm(1)
			if r.MultipartForm != nil {
				_ = r.MultipartForm.RemoveAll() // nobody else can: TimeoutHandler has a copy, too
			}
			_, _ = io.WriteString(w, "late")
		})
		h := httpscope.Handler(http.TimeoutHandler(mux, time.Millisecond, "late"), opts)
		outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			behind.Add(1)
			watching.Go(func() {
				for range 50 {
					_ = r.Header.Get("X-Request-Id")
					_ = fmt.Sprint(r.Header, r.URL, r.Method)
					_ = r.Context().Value("key")
				}
			})
			h.ServeHTTP(w, r)
		})
		s := http1.serve(t, outer, nil)
		for range 20 {
			body, kind := upload(10_000)
			resp, _, err := s.do(s.request("POST", "/7", body, "Content-Type", kind, "X-Request-Id", "no good"))
			if err != nil {
				t.Fatal(err)
			}
			if len(resp.Header.Values("X-Request-Id")) != 1 {
				t.Errorf("the answer has the ids %q", resp.Header.Values("X-Request-Id"))
			}
		}
		behind.Wait()
		watching.Wait()
		wantNoFiles(t)
	})
}

// A body may be closed while it is read: a proxy does that if its backend has answered early. Trailers
// that weren't announced come with the end of either.
func TestABodyMayBeClosedWhileItIsRead(t *testing.T) {
	read := make(chan bool, 1)
	s := http1.serve(t, httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		go func() {
			_, _ = io.Copy(io.Discard, r.Body)
			read <- true
		}()
		time.Sleep(20 * time.Millisecond) // and no more, or there would be an order
		r.Body.Close()
	}), nil), nil)
	send(t, s.Listener.Addr(), "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 294\r\n\r\n")
	testkit.Receive(t, read, "end of the body")
}

// Nor has a middleware that copies its request, or a goroutine that looks at the query.
func TestNobodyRacesWithOrdinaryReaders(t *testing.T) {
	withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
		var readers sync.WaitGroup
		h := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				readers.Go(func() { _ = r.FormValue("q") })
			}
		}), opts)
		s := http1.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			readers.Go(func() { _ = r.WithContext(r.Context()) })
			h.ServeHTTP(w, r)
		}), nil)
		for range 20 {
			s.get("/?q=1")
			if _, _, err := s.do(s.request("POST", "/", struct{ io.Reader }{strings.NewReader("abc")})); err != nil {
				t.Fatal(err)
			}
		}
		readers.Wait()
	})
}

// The same request may be served again: by a middleware that tries once more, or in a test.
func TestARequestCanBeServedAgain(t *testing.T) {
	var ids []string
	h := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if id := scope.GetOr("request_id", ""); r.Header.Get("X-Request-Id") != id {
			t.Errorf("the header has %q, the scope %q", r.Header.Get("X-Request-Id"), id)
		}
		ids = append(ids, scope.GetOr("request_id", ""))
	}), nil)
	for _, header := range []http.Header{nil, {}, {"X-Request-Id": {"no good"}}} {
		r := newRequest(t)
		r.Header = header
		for range 2 {
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	for i, id := range ids {
		if !uuid7.MatchString(id) || i > 0 && ids[i-1] == id {
			t.Errorf("the ids are %q", ids)
		}
	}
}

// Path values that a middleware around Handler has set are in a map, which must not be written
// to: the process would crash. So the values of a pattern stay with the handler's request.
func TestPathValuesWhileGoroutinesReadThem(t *testing.T) {
	mux := http.NewServeMux()
	var readers sync.WaitGroup
	read := func(r *http.Request) {
		started := make(chan struct{})
		readers.Go(func() {
			close(started)
			for range 1000 {
				if got := r.PathValue("tenant"); got != "t1" {
					t.Errorf("a goroutine reads tenant %q", got)
				}
			}
		})
		<-started
	}
	mux.HandleFunc("/users/{id}", func(_ http.ResponseWriter, r *http.Request) {
		if id := r.PathValue("id"); id != "7" {
			t.Errorf("inside: id %q", id)
		}
		read(r)
	})
	r := httptest.NewRequest("GET", "/users/7", nil)
	r.SetPathValue("tenant", "t1")
	read(r)
	httpscope.Handler(mux, nil).ServeHTTP(httptest.NewRecorder(), r)
	readers.Wait()
	if id, tenant := r.PathValue("id"), r.PathValue("tenant"); id != "" || tenant != "t1" {
		t.Errorf("outside: id %q, tenant %q", id, tenant)
	}
}
