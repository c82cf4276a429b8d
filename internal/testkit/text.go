package testkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// WantLines compares what was written with want, which has no line ends, and empties the
// buffer.
func WantLines(t testing.TB, got interface {
	String() string
	Reset()
}, want ...string) {
	t.Helper()
	text := strings.Join(want, "\n")
	if len(want) > 0 {
		text += "\n"
	}
	if got.String() != text {
		t.Errorf("got\n%swant\n%s", got, text)
	}
	got.Reset()
}

// ParseJSON reads a log line. The test ends if it isn't one JSON object, or if an object
// in it has a key twice.
func ParseJSON(t testing.TB, line []byte) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(line))
	v, err := parse(dec)
	object, ok := v.(map[string]any)
	if _, more := dec.Token(); err != nil || !ok || more != io.EOF {
		t.Fatalf("not a JSON object, %v: %s", err, line)
	}
	return object
}

func parse(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			token, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key := token.(string)
			if _, twice := object[key]; twice {
				return nil, fmt.Errorf("key %s twice", key)
			}
			if object[key], err = parse(dec); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			element, err := parse(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, element)
		}
		_, err = dec.Token()
		return list, err
	}
	return token, nil
}

// ParseText reads a line of key=value pairs, as log/slog's TextHandler writes it; a dot in a
// key opens a group. The test fails if a key is there twice.
func ParseText(t testing.TB, line []byte) map[string]any {
	t.Helper()
	m := map[string]any{}
	for rest := strings.TrimSuffix(string(line), "\n"); rest != ""; {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			t.Fatalf("no = in %q", rest)
		}
		value, next, _ := strings.Cut(after, " ")
		if strings.HasPrefix(after, `"`) {
			quoted, err := strconv.QuotedPrefix(after)
			if err != nil {
				t.Fatalf("%v in %q", err, after)
			}
			value, _ = strconv.Unquote(quoted)
			next = strings.TrimPrefix(after[len(quoted):], " ")
		}
		rest = next
		into := m
		path := strings.Split(key, ".")
		for _, group := range path[:len(path)-1] {
			if into[group] == nil {
				into[group] = map[string]any{}
			}
			into = into[group].(map[string]any)
		}
		last := path[len(path)-1]
		if _, twice := into[last]; twice {
			t.Errorf("key %s twice in %s", key, line)
		}
		into[last] = value
	}
	return m
}
