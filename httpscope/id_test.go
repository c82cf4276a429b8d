package httpscope_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/httpscope"
	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
)

// proxyTo returns a proxy to s.
func proxyTo(s *service, transport http.RoundTripper) http.Handler {
	to, err := url.Parse(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: transport, FlushInterval: -1,
		ErrorLog: s.Config.ErrorLog,
	}
}

// Whatever comes in, and whatever is behind: the client's answer has one id, which is the one
// on the line and the one that the backend has got.
func TestAProxiedRequestHasOneID(t *testing.T) {
	backends := map[string]func(id chan string) http.Handler{
		"bare": func(id chan string) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { id <- strings.Join(r.Header["X-Request-Id"], ",") })
		},
		"one that answers with its own": func(id chan string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				id <- strings.Join(r.Header["X-Request-Id"], ",")
				w.Header()["X-Request-Id"] = []string{"theirs", "another"}
				_, _ = io.WriteString(w, "body")
			})
		},
		"httpscope": func(id chan string) http.Handler {
			return httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { id <- scope.GetOr("request_id", "") }), nil)
		},
		"one that sends a 103 first": func(id chan string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				w.Header().Set("X-Request-Id", "theirs")
				id <- strings.Join(r.Header["X-Request-Id"], ",")
			})
		},
		"a 500": func(id chan string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				id <- strings.Join(r.Header["X-Request-Id"], ",")
				http.Error(w, "bad", http.StatusInternalServerError)
			})
		},
	}
	for name, backend := range backends {
		for _, transport := range []string{"with Transport", "without"} {
			t.Run(name+" "+transport, func(t *testing.T) {
				ids := make(chan string, 1)
				back := http1.serve(t, backend(ids), nil)
				var through http.RoundTripper = back.transport
				if transport == "with Transport" {
					through = httpscope.Transport(back.transport, nil)
				}
				withAndWithout(t, func(t *testing.T, opts *httpscope.Options, out *testkit.Lines) {
					overEach(t, httpscope.Handler(proxyTo(back, through), opts), func(t *testing.T, s *service) {
						for _, sent := range [][]string{nil, {"good"}, {"not a valid one"}, {"one", "two"}} {
							req := s.request("GET", "/", nil)
							req.Header["X-Request-Id"] = sent
							resp, _, err := s.do(req)
							if err != nil {
								t.Fatal(err)
							}
							id := testkit.Receive(t, ids, "request at the backend")
							if answer := resp.Header["X-Request-Id"]; !slices.Equal(answer, []string{id}) {
								t.Errorf("%q: the answer says %q, the backend %q", sent, answer, id)
							}
							if fmt.Sprint(sent) == "[good]" && id != "good" || fmt.Sprint(sent) != "[good]" && !uuid7.MatchString(id) {
								t.Errorf("%q: the id is %q", sent, id)
							}
							if out != nil {
								out.Next(t).Want(t, testkit.Line{"request_id": id})
							}
						}
					})
				})
			})
		}
	}
}

func TestOneIDWhateverIsInside(t *testing.T) {
	own := func(next http.Handler) http.Handler { // as chi's and echo's do it
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id := r.Header.Get("X-Request-Id")
			if id == "" {
				id = "made-by-them"
			}
			w.Header().Set("X-Request-Id", id)
			next.ServeHTTP(w, r)
		})
	}
	stubborn := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "theirs")
			w.Header().Add("X-Request-Id", "theirs too")
			w.Header()["x-request-id"] = []string{"in small letters"}
			next.ServeHTTP(w, r)
		})
	}
	editing := func(next http.Handler) http.Handler { // what was there, in its place
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["X-Request-Id"][0] = "theirs"
			next.ServeHTTP(w, r)
		})
	}
	replacing := func(next http.Handler) http.Handler { // between two Handlers
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("X-Request-Id", "theirs")
			httpscope.Handler(next, nil).ServeHTTP(w, r)
		})
	}
	removing := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.WithContext(scope.NewContext(r.Context(), scope.With("request_id", "theirs")))
			r.Header.Del("X-Request-Id")
			httpscope.Handler(next, nil).ServeHTTP(w, r)
		})
	}
	forgetful := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			clear(w.Header())
			next.ServeHTTP(w, r)
		})
	}
	fields := func(key string, v slog.Value) *httpscope.Options {
		return &httpscope.Options{Fields: func(*http.Request) []slog.Attr { return []slog.Attr{{Key: key, Value: v}} }}
	}
	lenient := &httpscope.Options{ValidID: httpscope.ProxyID}
	answers := map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"a body":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body") },
		"a copy":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("body")) },
		"a code":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"a flush": func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"an empty copy, and an error": func(w http.ResponseWriter, _ *http.Request) {
			if n, _ := io.Copy(w, strings.NewReader("")); n == 0 {
				w.Header().Set("X-Request-Id", "theirs")
				http.Error(w, "nothing", http.StatusNotFound)
			}
		},
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "bad", http.StatusBadGateway)
		},
	}
	for _, c := range []struct {
		rule   string
		opts   *httpscope.Options
		inside func(http.Handler) http.Handler
		sent   string
		want   string // "" means a new one
	}{
		{"another middleware", nil, own, "", ""},
		{"another middleware, sent", nil, own, "sent", "sent"},
		{"another middleware, sent a bad one", nil, own, "no good", ""},
		{"a stubborn one", nil, stubborn, "", ""},
		{"a forgetful one", nil, forgetful, "sent", "sent"},
		{"one that edits", nil, editing, "sent", "sent"},
		{"one that replaces the request's, and an inner Handler", nil, replacing, "sent", "sent"},
		{"the same, sent none", nil, replacing, "", ""},
		{"one that removes the request's, and an inner Handler", nil, removing, "sent", "sent"},
		{"an inner Handler", nil, httpscope.Middleware(nil), "", ""},
		{"an inner Handler, sent", nil, httpscope.Middleware(nil), "sent", "sent"},
		{"an inner Handler, sent a bad one", nil, httpscope.Middleware(nil), "no good", ""},
		{"an inner Handler that wouldn't take it", lenient, httpscope.Middleware(nil), "a@b/c==", "a@b/c=="},
		{"an inner Handler with fields of its own", nil, httpscope.Middleware(fields("request_id", slog.StringValue("inner"))), "", ""},
		{"three of them", lenient, func(h http.Handler) http.Handler {
			return httpscope.Handler(http.TimeoutHandler(httpscope.Handler(h, nil), time.Hour, ""), nil)
		}, "a@b", "a@b"},
		{"Fields", fields("request_id", slog.StringValue("by-fields")), own, "sent", "by-fields"},
		{"Fields, and an inner Handler", fields("request_id", slog.StringValue("by fields")), httpscope.Middleware(nil), "sent", "by fields"},
		{"Fields, a number", fields("request_id", slog.IntValue(17)), own, "", "17"},
		{"Fields, inlined", fields("", slog.GroupValue(slog.String("request_id", "by-group"))), own, "", "by-group"},
		{"Fields, nothing that a header can hold", fields("request_id", slog.StringValue("a\r\nEvil: yes")), own, "sent", "sent"},
		{"Fields, nothing", fields("request_id", slog.StringValue("")), own, "sent", "sent"},
		{"NewID", &httpscope.Options{NewID: func() string { return "new one" }}, own, "", "new one"},
		{"NewID, nothing that a header can hold", &httpscope.Options{NewID: func() string { return "a\nb" }}, own, "", ""},
		{"NewID, nothing", &httpscope.Options{NewID: func() string { return "" }}, own, "", ""},
		{"ValidID", lenient, own, "p:80#1+2/3=@", "p:80#1+2/3=@"},
		{"ValidID that takes anything", &httpscope.Options{ValidID: func(string) bool { return true }}, own, "any one", "any one"},
		{"ValidID that takes nothing", &httpscope.Options{ValidID: func(string) bool { return false }}, own, "sent", ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for name, answer := range answers {
				t.Run(name, func(t *testing.T) {
					var header, inScope string
					out := testkit.NewLines()
					inner := c.inside(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						header = strings.Join(r.Header["X-Request-Id"], ",")
						v, _ := scope.Get("request_id")
						inScope = fmt.Sprint(v)
						answer(w, r)
					}))
					for _, logs := range []bool{false, true} {
						opts := httpscope.Options{}
						if c.opts != nil {
							opts = *c.opts
						}
						if logs {
							opts.Log = slogTo(out).LogAttrs
						}
						resp, _ := http1.serve(t, httpscope.Handler(inner, &opts), nil).get("/", "X-Request-Id", c.sent)
						if header != inScope || !slices.Equal(resp.Header["X-Request-Id"], []string{header}) {
							t.Errorf("the header has %q, the scope %q, the answer %q", header, inScope, resp.Header["X-Request-Id"])
						}
						if c.want != "" && header != c.want || c.want == "" && !uuid7.MatchString(header) {
							t.Errorf("the id is %q, want %q", header, c.want)
						}
						if logs {
							if line := out.Next(t); fmt.Sprint(line["request_id"]) != header {
								t.Errorf("the line has %v, want %q", line["request_id"], header)
							}
						}
					}
				})
			}
		})
	}
}

// The inner Handler needs neither the outer's field nor its idea of a valid id to know it.
func TestAnInnerHandlerKeepsAnIDThatHasAnotherName(t *testing.T) {
	for _, name := range []string{"", "rid"} {
		var header, inner string
		h := httpscope.Handler(httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			header, inner = r.Header.Get("X-Request-Id"), scope.GetOr("request_id", "")
		}), nil), &httpscope.Options{
			ValidID: httpscope.ProxyID, Names: map[httpscope.Field]string{httpscope.RequestID: name},
		})
		resp, _ := http1.serve(t, h, nil).get("/", "X-Request-Id", "a@b")
		if header != "a@b" || inner != "a@b" || resp.Header.Get("X-Request-Id") != "a@b" {
			t.Errorf("%q: the header has %q, the scope %q, the answer %q", name, header, inner, resp.Header.Get("X-Request-Id"))
		}
	}
}

// An inner Handler is in the task of the request.
func TestAnInnerHandlerAddsToTheTask(t *testing.T) {
	out := testkit.NewLines()
	opts := func(key string) *httpscope.Options {
		return &httpscope.Options{Log: slogTo(out).LogAttrs, Fields: func(*http.Request) []slog.Attr { return []slog.Attr{slog.Bool(key, true)} }}
	}
	var outer scope.Scope
	inner := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if !scope.Current().SameTask(outer) {
			t.Error("another task")
		}
		scope.Set("step", "inner")
	}), opts("inner"))
	h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer = scope.Current()
		scope.Set("user", "u1")
		inner.ServeHTTP(w, r)
	}), opts("outer"))
	http1.serve(t, h, nil).get("/", "X-Request-Id", "r")
	out.Next(t).Want(t, testkit.Line{"request_id": "r", "outer": true, "inner": true, "user": "u1", "step": "inner", "scope_ended": nil})
	out.Next(t).Want(t, testkit.Line{"request_id": "r", "outer": true, "inner": nil, "user": "u1", "step": nil, "scope_ended": nil})
	out.None(t)
}

// Parts of a batch are requests that the program makes, with the context of the whole.
func TestARequestOfTheProgramsOwnHasItsID(t *testing.T) {
	for sent, want := range map[string]string{"part-1": "part-1", "": "", "whole": "whole"} {
		part := httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			id := scope.GetOr("request_id", "")
			if inside := scope.Current().Has("user"); id != want && (want != "" || !uuid7.MatchString(id)) || inside != (sent == "whole") {
				t.Errorf("sent %q: the id is %q; in the task of the whole: %v", sent, id, inside)
			}
		}), nil)
		whole := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			scope.Set("user", "u1")
			r, err := http.NewRequestWithContext(r.Context(), "GET", "/part", nil)
			if err != nil {
				t.Fatal(err)
			}
			if sent != "" {
				r.Header.Set("X-Request-Id", sent)
			}
			part.ServeHTTP(httptest.NewRecorder(), r)
		}), nil)
		whole.ServeHTTP(httptest.NewRecorder(), requestWithID(t.Context(), "whole"))
	}
}

// A request that only looks as if it were inside another one.
func TestAnotherRequestIsNoInnerOne(t *testing.T) {
	var ctx = make(chan *http.Request, 1)
	http1.serve(t, httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx <- r }), nil), nil).get("/", "X-Request-Id", "first")
	over := testkit.Receive(t, ctx, "request")
	id := func(header http.Header) (id string, task scope.Scope) {
		r := over.Clone(over.Context())
		r.Header = header
		httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			id, task = scope.GetOr("request_id", ""), scope.Current()
		}), nil).ServeHTTP(httptest.NewRecorder(), r)
		return id, task
	}
	first, _ := scope.FromContext(over.Context())
	for _, header := range []http.Header{nil, {"X-Request-Id": {"second"}}, {"X-Request-Id": {"first"}}} {
		got, task := id(header)
		want := strings.Join(header["X-Request-Id"], "")
		if want != "" && got != want || want == "" && !uuid7.MatchString(got) || task.SameTask(first) {
			t.Errorf("%v: the id is %q; in the task of the first: %v", header, got, task.SameTask(first))
		}
	}
}

func TestTheIDsThatProxiesMake(t *testing.T) {
	for _, c := range []struct {
		id           string
		plain, proxy bool
	}{
		{"0190b6a3-8f4e-7c1b-9d2e-3f4a5b6c7d8e", true, true},
		{"ZcKj@goKAAEAAAhTgOkAAAAB", false, true},                       // Apache, mod_unique_id
		{"ZcKjgsCoAAEAAAhTgOk+/w==", false, true},                       // base64
		{"0A000001:C350_0A000002:0050_65C2A382_0001:1A2B", false, true}, // HAProxy
		{"b0f9a3c2-5d1e-4d7c-8a11-1f0f3b1c2d3e#42", false, true},        // Kong, uuid#counter
		{"Root=1-67891233-abcdef012345678912345678", false, true},       // AWS
		{strings.Repeat("a", 128), true, true},
		{strings.Repeat("a", 129), false, true},
		{strings.Repeat("a", 256), false, true},
		{strings.Repeat("a", 257), false, false},
		{"", false, false}, {"a b", false, false}, {"a,b", false, false}, {`a"b`, false, false}, {"a\\b", false, false}, {"é", false, false},
		{"a\n", false, false}, {"a;b", false, false}, {"<a>", false, false}, {"a%41", false, false}, {"a\x00", false, false}, {"a\xff", false, false},
	} {
		if got := httpscope.PlainID(c.id); got != c.plain {
			t.Errorf("PlainID(%.40q) is %v", c.id, got)
		}
		if got := httpscope.ProxyID(c.id); got != c.proxy {
			t.Errorf("ProxyID(%.40q) is %v", c.id, got)
		}
	}
}

func TestNewIDsSortByTime(t *testing.T) {
	before := ""
	for range 20 {
		id := httpscope.NewID()
		if !uuid7.MatchString(id) || !httpscope.PlainID(id) || id <= before {
			t.Fatalf("%q after %q", id, before)
		}
		before = id
		time.Sleep(time.Microsecond)
	}
	now := time.Now().UnixMilli()
	var ms int64
	if _, err := fmt.Sscanf(strings.ReplaceAll(httpscope.NewID()[:13], "-", ""), "%x", &ms); err != nil || ms < now || ms > now+1000 {
		t.Errorf("the time in an id is %d, %v, and now %d", ms, err, now)
	}
}

const untrustedBaggage = "test.tenant=evil, other=1;p"

// Whether an inner Handler trusts counts, whatever else it is there for.
func TestAnInnerHandlerMayTrust(t *testing.T) {
	back := http1.serve(t, headers, nil)
	withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
		o := httpscope.Options{}
		if opts != nil {
			o = *opts
		}
		o.TrustBaggage = func(*http.Request) bool { return true }
		inner := httpscope.Handler(proxyTo(back, httpscope.Transport(back.transport, nil)), &o)
		_, body := http1.serve(t, httpscope.Handler(inner, nil), nil).get("/", "Baggage", untrustedBaggage)
		if !strings.Contains(body, untrustedBaggage) {
			t.Errorf("sent %s", body)
		}
	})
}

// A client may send a megabyte of baggage: neither is that kept, nor does it cost more than reading it.
func TestLongBaggage(t *testing.T) {
	for size, want := range map[int]string{8000: "mine=1", 900_000: ""} {
		h := httpscope.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			out := r.Clone(r.Context())
			out.Header.Add("Baggage", "mine=1")
			_, _ = httpscope.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
				if got := strings.Join(r.Header["Baggage"], ","); got != want {
					t.Errorf("%d bytes: sent %d, that begin with %.20q, want %q", size, len(got), got, want)
				}
				return nil, io.EOF
			}), nil).RoundTrip(out)
		}), nil)
		r := newRequest(t)
		r.Header.Set("Baggage", strings.Repeat("a,", size/2))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// Baggage that came in and isn't trusted doesn't go on, and what the program adds does.
func TestUntrustedBaggageIsNotSentOn(t *testing.T) {
	back := http1.serve(t, headers, nil)
	for _, c := range []struct {
		rule  string
		trust bool
		add   string // by the program, to the proxied request
		set   string // test.tenant, in the scope
		want  string
	}{
		{"untrusted", false, "", "", ""},
		{"untrusted, and a field", false, "", "acme", "test.tenant=acme"},
		{"untrusted, and a member", false, "mine=1", "", "mine=1"},
		{"untrusted, a member and a field", false, "mine=1", "acme", "mine=1,test.tenant=acme"},
		{"trusted", true, "", "", untrustedBaggage},
	} {
		t.Run(c.rule, func(t *testing.T) {
			proxy := proxyTo(back, httpscope.Transport(back.transport, nil)).(*httputil.ReverseProxy)
			rewrite := proxy.Rewrite
			proxy.Rewrite = func(r *httputil.ProxyRequest) {
				rewrite(r)
				if c.add != "" {
					r.Out.Header.Add("Baggage", c.add)
				}
			}
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Baggage") != untrustedBaggage {
					t.Errorf("the handler sees the baggage %q", r.Header["Baggage"])
				}
				if c.set != "" {
					tenant.Set(c.set)
				}
				proxy.ServeHTTP(w, r)
			})
			withAndWithout(t, func(t *testing.T, opts *httpscope.Options, _ *testkit.Lines) {
				o := httpscope.Options{}
				if opts != nil {
					o = *opts
				}
				o.TrustBaggage = func(*http.Request) bool { return c.trust }
				_, body := http1.serve(t, httpscope.Handler(h, &o), nil).get("/", "X-Request-Id", "r", "Baggage", untrustedBaggage)
				var got sent
				if err := json.Unmarshal([]byte(body), &got); err != nil {
					t.Fatal(err)
				}
				if strings.Join(got["Baggage"], ",") != c.want {
					t.Errorf("sent %q, want %q", got["Baggage"], c.want)
				}
			})
		})
	}
}

// grpc-gateway sends these headers on without their prefix, and Transport may send what it has made of
// them.
func TestHeadersForAGateway(t *testing.T) {
	back := http1.serve(t, headers, nil)
	client := &http.Client{Transport: httpscope.Transport(back.transport, nil)}
	for _, trust := range []bool{false, true} {
		h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			req, _ := http.NewRequestWithContext(r.Context(), "GET", back.URL, nil)
			for key, values := range r.Header {
				if key, ok := strings.CutPrefix(key, "Grpc-Metadata-"); ok {
					req.Header[key] = values
				}
			}
			if resp, err := client.Do(req); err != nil {
				t.Error(err)
			} else {
				defer resp.Body.Close()
				_, _ = io.Copy(w, resp.Body)
			}
		}), &httpscope.Options{TrustBaggage: func(*http.Request) bool { return trust }})
		for _, header := range [][]string{
			{"X-Request-Id", "r", "Grpc-Metadata-X-Request-Id", "theirs", "Grpc-Metadata-Baggage", "test.tenant=acme"},
			{"X-Request-Id", "r", "Grpc-Metadata-Baggage", "test.tenant=acme", "Baggage", "a=1"},
		} {
			_, body := http1.serve(t, h, nil).get("/", header...)
			var got sent
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if id := strings.Join(got["X-Request-Id"], ","); id != "r" || (len(got["Baggage"]) > 0) != trust {
				t.Errorf("trusted: %v; sent the id %q and the baggage %q", trust, id, got["Baggage"])
			}
		}
	}
}

func TestTracestateTravelsWithTraceparent(t *testing.T) {
	const parent = "00-" + traceID + "-00f067aa0ba902b7-01"
	back := http1.serve(t, headers, nil)
	client := &http.Client{Transport: httpscope.Transport(back.transport, nil)}
	h := httpscope.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequestWithContext(r.Context(), "GET", back.URL, nil)
		if own := r.Header.Get("Own"); own != "" {
			req.Header.Set("Tracestate", own)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	}), nil)
	s := http1.serve(t, h, nil)
	for _, c := range []struct {
		rule, parent string
		state        []string
		own          string
		want         []string
	}{
		{"one", parent, []string{"vendor=1"}, "", []string{"vendor=1"}},
		{"two headers", parent, []string{"vendor=1", "other=2"}, "", []string{"vendor=1,other=2"}},
		{"none", parent, nil, "", nil},
		{"not valid", parent, []string{"vendor"}, "", nil},
		{"no traceparent", "", []string{"vendor=1"}, "", nil},
		{"a traceparent that isn't valid", "00-x", []string{"vendor=1"}, "", nil},
		{"one that doesn't belong to it", parent, []string{"vendor=1"}, "stray=1", []string{"vendor=1"}},
		{"only one that doesn't belong to it", parent, nil, "stray=1", nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			req := s.request("GET", "/", nil, "X-Request-Id", "r", "Own", c.own)
			req.Header["Tracestate"] = c.state
			if c.parent != "" {
				req.Header.Set("Traceparent", c.parent)
			}
			_, body, err := s.do(req)
			if err != nil {
				t.Fatal(err)
			}
			var got sent
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got["Tracestate"], c.want) || (len(got["Traceparent"]) == 1) != (c.parent == parent) {
				t.Errorf("sent %v, want the tracestate %q", got, c.want)
			}
		})
	}
}

// The program may have put a header into the map without http.Header.Set.
func TestKeysAreFoundInAnyCase(t *testing.T) {
	s := http1.serve(t, headers, nil).through(nil)
	const tracers = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"
	mine := scope.New("request_id", "mine", "trace_id", traceID, "trace_state", "mine=1", "test.tenant", "acme")
	for _, c := range []struct {
		rule   string
		header http.Header
		want   sent // without a traceparent of the scope's
	}{
		{"traceparent", http.Header{"traceparent": {tracers}},
			sent{"X-Request-Id": {"mine"}, "Traceparent": {tracers}, "Baggage": {"test.tenant=acme"}}},
		{"traceparent and tracestate", http.Header{"traceparent": {tracers}, "TRACESTATE": {"a=1"}},
			sent{"X-Request-Id": {"mine"}, "Traceparent": {tracers}, "Tracestate": {"a=1"}, "Baggage": {"test.tenant=acme"}}},
		{"request id", http.Header{"x-request-id": {"theirs"}, "traceparent": {tracers}},
			sent{"X-Request-Id": {"theirs"}, "Traceparent": {tracers}, "Baggage": {"test.tenant=acme"}}},
		{"baggage", http.Header{"baggage": {"a=1"}, "traceparent": {tracers}},
			sent{"X-Request-Id": {"mine"}, "Traceparent": {tracers}, "Baggage": {"a=1,test.tenant=acme"}}},
		{"baggage twice", http.Header{"baggage": {"a=1"}, "Baggage": {"b=1"}, "traceparent": {tracers}},
			sent{"X-Request-Id": {"mine"}, "Traceparent": {tracers}, "Baggage": {"b=1,a=1,test.tenant=acme"}}},
		{"an id that isn't valid", http.Header{"x-request-id": {"no good"}, "traceparent": {tracers}},
			sent{"X-Request-Id": {"mine"}, "Traceparent": {tracers}, "Baggage": {"test.tenant=acme"}}},
		{"two ids", http.Header{"x-request-id": {"one"}, "X-Request-Id": {"two"}, "traceparent": {tracers}},
			sent{"X-Request-Id": {"mine"}, "Traceparent": {tracers}, "Baggage": {"test.tenant=acme"}}},
		{"a traceparent that isn't valid", http.Header{"traceparent": {"00-x"}, "tracestate": {"stray=1"}},
			sent{"X-Request-Id": {"mine"}, "Tracestate": {"mine=1"}, "Baggage": {"test.tenant=acme"}}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			mine.Run(func() {
				req := s.request("GET", "/", nil)
				req.Header = c.header
				before := c.header.Clone()
				_, body, err := s.do(req)
				if err != nil {
					t.Fatal(err)
				}
				var got sent
				if err := json.Unmarshal([]byte(body), &got); err != nil {
					t.Fatal(err)
				}
				if c.want["Traceparent"] == nil {
					if tp := strings.Join(got["Traceparent"], ","); !strings.HasPrefix(tp, "00-"+traceID) || len(got["Traceparent"]) != 1 {
						t.Errorf("the traceparent is %q", got["Traceparent"])
					}
					delete(got, "Traceparent")
				}
				wantSent(t, got, c.want)
				if !maps.EqualFunc(req.Header, before, slices.Equal) {
					t.Errorf("the caller's header became %v", req.Header)
				}
			})
		})
	}
}

func TestTransportSendsTheIDsThatItIsToldTo(t *testing.T) {
	s := http1.serve(t, headers, nil)
	for _, c := range []struct {
		rule      string
		valid     func(string) bool
		inScope   any
		inRequest string
		want      []string
	}{
		{"a proxy's", nil, "a@b/c==", "", []string{"a@b/c=="}},
		{"a number", nil, 17, "", []string{"17"}},
		{"a number in place of a bad one", nil, 17, "no good", []string{"17"}},
		{"nothing to replace it with", nil, "no good", "no good either", []string{"no good either"}},
		{"any", func(string) bool { return true }, "any one", "", []string{"any one"}},
		{"any, sent already", func(string) bool { return true }, "any one", "that one", []string{"that one"}},
		{"plain ones", httpscope.PlainID, "a@b", "", nil},
		{"plain ones, sent already", httpscope.PlainID, "mine", "a@b", []string{"mine"}},
		{"none", func(string) bool { return false }, "mine", "", nil},
		{"nothing that a header can hold", func(string) bool { return true }, "a\r\nEvil: yes", "", nil},
		{"a value that panics", nil, testkit.PanickingLogValue{}, "", nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s.through(&httpscope.TransportOptions{ValidID: c.valid})
			scope.New("request_id", c.inScope).Run(func() {
				got := s.sends("/", "X-Request-Id", c.inRequest)
				if c.inRequest == "" && len(got["X-Request-Id"]) == 1 && got["X-Request-Id"][0] == "" {
					delete(got, "X-Request-Id") // it was sent, and was empty
				}
				if !slices.Equal(got["X-Request-Id"], c.want) {
					t.Errorf("sent %q, want %q", got["X-Request-Id"], c.want)
				}
			})
		})
	}
}

// A counter has another text each time.
type counter struct{ n int }

func (c *counter) LogValue() slog.Value {
	c.n++
	return slog.StringValue(fmt.Sprint("text-", c.n))
}

// An id that Fields has set stays the value that it is, unless it could have another text next time.
func TestAnIDOfFieldsKeepsItsType(t *testing.T) {
	for _, c := range []struct {
		id   slog.Value
		want any
	}{
		{slog.StringValue("r"), "r"},
		{slog.Int64Value(-17), int64(-17)},
		{slog.Uint64Value(17), uint64(17)},
		{slog.AnyValue(&counter{}), "text-1"},
	} {
		opts := &httpscope.Options{Fields: func(*http.Request) []slog.Attr { return []slog.Attr{{Key: "request_id", Value: c.id}} }}
		w := httptest.NewRecorder()
		httpscope.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if got, _ := scope.Get("request_id"); got != c.want {
				t.Errorf("got %T %v, want %T %v", got, got, c.want, c.want)
			}
		}), opts).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if got := w.Header().Get("X-Request-Id"); got != fmt.Sprint(c.want) {
			t.Errorf("the answer says %q, want %v", got, c.want)
		}
	}
}
