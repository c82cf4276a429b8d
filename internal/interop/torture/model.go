package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// An outcome is what a line says of its task, beside the task that it belongs to.
type outcome int

const (
	right     outcome = iota // its own task; for a line of no task: none
	unstamped                // no task
	late                     // its own task, and that it is over
	another                  // another task, and that it is over, which tells that the line is not of that task's work
	wrong                    // another task, and nothing tells that
	outcomes
)

func (o outcome) String() string {
	return [...]string{"right", "unstamped", "late", "another's", "wrong"}[o]
}

// A set is one of outcomes.
type set uint8

func of(outcomes ...outcome) (s set) {
	for _, o := range outcomes {
		s |= 1 << o
	}
	return s
}

func (s set) has(o outcome) bool { return s&(1<<o) != 0 }

func (s set) String() string {
	var names []string
	for o := range outcomes {
		if s.has(o) {
			names = append(names, o.String())
		}
	}
	return strings.Join(names, ", ")
}

// What a line's message says, which no adapter has a part in: "m t-17" belongs to the task
// t-17, "m t-17 left" does, too, and is written by what the task has left behind, and "m
// nobody" belongs to none.
const (
	mark   = "m "
	nobody = "nobody"
	left   = " left"
)

// idKey is the field that names a line's task.
const idKey = "request_id"

// A sink takes the lines of all loggers of a trial and compares each with the model.
type sink struct {
	mu   sync.Mutex
	rest []byte // of a line that isn't whole yet
	seen [outcomes]int64
	may  set // what lines may be, beside right
	odd  []string
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(p)
	if len(s.rest) > 0 {
		p = append(s.rest, p...)
		s.rest = nil
	}
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.rest = bytes.Clone(p)
			break
		}
		s.line(p[:end])
		p = p[end+1:]
	}
	return n, nil
}

// Sync does nothing. A sink is a zapcore.WriteSyncer.
func (s *sink) Sync() error { return nil }

// line compares a line with the model.
func (s *sink) line(text []byte) {
	o, leftBehind, err := judge(text)
	if err != nil {
		s.complain(fmt.Sprintf("%v: %s", err, text))
		return
	}
	s.seen[o]++
	if o != right && !s.may.has(o) && !(leftBehind && o == late) {
		s.complain(fmt.Sprintf("%v: %s", o, text))
	}
}

func (s *sink) complain(what string) {
	if len(s.odd) < 5 {
		s.odd = append(s.odd, what)
	}
}

func judge(text []byte) (o outcome, leftBehind bool, err error) {
	var line struct {
		Msg   string `json:"msg"`
		Zero  string `json:"message"` // zerolog's name for it
		ID    string `json:"request_id"`
		Ended bool   `json:"scope_ended"`
	}
	if err := json.Unmarshal(text, &line); err != nil {
		return 0, false, err
	}
	if n := bytes.Count(text, []byte(`"`+idKey+`":`)); n > 1 {
		return 0, false, fmt.Errorf("%d fields named %s", n, idKey)
	}
	owner, marked := strings.CutPrefix(cmp.Or(line.Msg, line.Zero), mark)
	if !marked {
		return 0, false, fmt.Errorf("a line of somebody else")
	}
	owner, leftBehind = strings.CutSuffix(owner, left)
	switch {
	case owner == nobody && line.ID == "":
		return right, false, nil
	case line.ID == "":
		return unstamped, leftBehind, nil
	case line.ID == owner && line.Ended:
		return late, leftBehind, nil
	case line.ID == owner:
		return right, leftBehind, nil
	case line.Ended:
		return another, leftBehind, nil
	}
	return wrong, leftBehind, nil
}

// total returns how many lines have come.
func (s *sink) total() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.seen {
		n += k
	}
	return n
}
