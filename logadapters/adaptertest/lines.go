package adaptertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// lines keeps what a logger writes.
type lines struct {
	mu    sync.Mutex
	lines []string // one for each Write
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// take returns what was written since the last call.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.Join(l.lines, "")
	l.lines = nil
	return text
}

// takeWithout is take for the lines without text. It also returns how many have it.
func (l *lines) takeWithout(text string) (rest string, with int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			with++
		} else {
			rest += line
		}
	}
	l.lines = nil
	return rest, with
}

// An object is a JSON object with its keys in order.
type object struct {
	keys   []string
	values map[string]any
}

// decode decodes text, which must be one JSON object. Unlike encoding/json it refuses a
// key that is twice in an object.
func decode(text string) (object, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	v, err := decodeValue(dec)
	if err != nil {
		return object{}, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return object{}, errors.New("something follows the first value")
	}
	o, ok := v.(object)
	if !ok {
		return object{}, fmt.Errorf("it is a %T", v)
	}
	return o, nil
}

func decodeValue(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := object{values: map[string]any{}}
		for dec.More() {
			token, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key := token.(string)
			if _, twice := o.values[key]; twice {
				return nil, fmt.Errorf("key %q is there twice", key)
			}
			o.keys = append(o.keys, key)
			if o.values[key], err = decodeValue(dec); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
		return o, err
	case json.Delim('['):
		var list []any
		for dec.More() {
			v, err := decodeValue(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	}
	return token, nil
}
