package adaptertest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// A Generator makes scopes, loggers and lines, with every kind of value and key, from a
// stream of bytes. The same bytes make the same.
type Generator struct{ next func() byte }

// FromSeed returns a Generator whose bytes are random, but the same for each seed.
func FromSeed(seed uint64) *Generator {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	random := rand.NewChaCha8(key)
	return &Generator{func() byte { return byte(random.Uint64()) }}
}

// FromBytes returns a Generator whose bytes are those of data, and then zeros: for fuzz
// targets. It makes less where there is less data.
func FromBytes(data []byte) *Generator {
	return &Generator{func() (b byte) {
		if len(data) > 0 {
			b, data = data[0], data[1:]
		}
		return b
	}}
}

// Seeds returns data for [FromBytes] that makes a good start for fuzzing: little of it,
// and enough of it for any program.
func Seeds() [][]byte {
	seeds := [][]byte{nil, {1, 3, 0, 3, 1, 3, 2, 3}}
	for seed := range uint64(8) {
		g := FromSeed(seed)
		data := make([]byte, 32<<seed)
		for i := range data {
			data[i] = g.next()
		}
		seeds = append(seeds, data)
	}
	return seeds
}

// SameBytes has g make a scope, a logger and some lines, and checks that a writes each
// line, byte for byte, as the reference logger does.
func SameBytes(t testing.TB, a Adapter, g *Generator) {
	t.Helper()
	if difference, _ := a.compare(a.program(g)); difference != "" {
		t.Error(difference)
	}
}

// RunGenerated calls [SameBytes] for the seeds from 1 on, until so many lines have been
// compared or some differ, and prints the seed then. New may write any format; in one
// that isn't JSON the generated lines repeat no key of a scope.
func RunGenerated(t *testing.T, a Adapter, lines int) {
	for seed := uint64(1); lines > 0; seed++ {
		difference, n := a.compare(a.program(FromSeed(seed)))
		if difference != "" {
			t.Fatalf("%s\nto see it again: adaptertest.SameBytes(t, adapter, adaptertest.FromSeed(%d))", difference, seed)
		}
		lines -= n
	}
}

// A program is a scope and what is done with a logger under it.
type program struct {
	scope []Field // no key twice
	other []Field // of another task, which some events are given in a context
	opts  *logadapters.Options
	early bool // the loggers are made before the scope is bound
	seen  int  // how many lines there are before the scope has all of its fields
	ended bool // the lines come after the task's end
	steps []step
	lines []event

	// What a middleware adds: some events are given it in a context, made when half of the
	// scope was set, or all of it.
	added []Field
	noise *noise
}

// A step makes a logger from a logger.
type step struct {
	group string // Logger.Group iff with is nil
	with  []Field
}

// An event is a line. Its logger is made by as many of the program's steps as steps says.
type event struct {
	steps   int
	msg     string
	fields  []Field
	context contextKind
}

// A contextKind is what the context of an event has.
type contextKind int

const (
	noContext    contextKind = iota
	otherTask                // the scope of another task
	entryContext             // what was bound before half of the scope was set
	addedEarly               // that, and the program's added
	addedLate                // what is bound, and the program's added
	contextKinds
)

// A noise is what values of a scope do when their methods are called, while the adapter's
// line is written: they log.
type noise struct {
	log   func()
	calls int
}

func (n *noise) say() string {
	if n.log != nil {
		n.calls++
		n.log()
	}
	return "said"
}

// noisyLine is on all lines that values log.
const noisyLine = "a line that a value's method has logged"

type noisyValuer struct{ *noise }

func (v noisyValuer) LogValue() slog.Value { return slog.StringValue(v.say()) }

type noisyValue struct{ *noise }

func (v noisyValue) MarshalJSON() ([]byte, error) { return json.Marshal(v.say()) }

func (v noisyValue) MarshalText() ([]byte, error) { return []byte(v.say()), nil }

func (v noisyValue) String() string { return v.say() }

func (p program) String() string {
	return fmt.Sprintf("scope %s\nother %s\nadded %s\noptions %+v\nseen %d\nended %t\nsteps %.2000q\nlines %.2000q",
		show(p.scope), show(p.other), show(p.added), p.opts, p.seen, p.ended, fmt.Sprint(p.steps), fmt.Sprint(p.lines))
}

func show(fields []Field) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "\n\t%.100q: %T %.200q", f.Key, f.Value, fmt.Sprint(f.Value))
	}
	return b.String()
}

// program has g make a program that suits a.
//
// Duplicates are left in where it can be told from outside what is right. Either the
// adapter doesn't see the line's keys, and then both are written. Or the lines are JSON,
// and then the keys of a line that was written without a scope say which scope fields
// have to give way: see compare.
func (a *Adapter) program(g *Generator) program {
	keys := []string{
		"a", "b", "c", "d", "e", "f", "request_id", "user id", `quo"te`, "back\\slash", "new\nline", "tab\tdel\x7f",
		"ünï", "emoji 🙂", "bad\xffutf8", "<html>", "dot.ted", "eq=ual", "line\u2028sep", strings.Repeat("long", 100), "source",
	}
	scopeKeys := append(keys, a.Own...)
	eventKeys := keys
	repeat := a.Lacks&EventKeys != 0 || a.writesJSON()
	if !repeat {
		scopeKeys = keys
		eventKeys = nil
		for _, key := range keys {
			eventKeys = append(eventKeys, "event "+key)
		}
	}

	p := program{early: g.bool(), noise: new(noise)}
	p.scope = unique(g.fields(scopeKeys, 8, true))
	switch g.upTo(8) {
	case 1:
		p.opts = new(logadapters.Options)
	case 2:
		p.opts = &logadapters.Options{Group: g.pick(eventKeys)}
	case 3:
		p.opts = &logadapters.Options{Duplicates: logadapters.KeepBoth}
	case 4:
		p.opts = &logadapters.Options{Group: "a group", Duplicates: logadapters.KeepBoth}
	}
	if !repeat && p.opts != nil && p.opts.Group != "" {
		p.opts.Group = "scope"
	}
	if a.Lacks&Contexts == 0 && g.upTo(4) == 1 {
		p.other = unique(g.fields(scopeKeys, 4, true))
		p.added = unique(g.fields(scopeKeys, 3, true))
	}
	for range g.upTo(4) {
		if a.Lacks&Groups == 0 && g.bool() {
			p.steps = append(p.steps, step{group: g.pick(eventKeys)})
		} else if with := g.fields(eventKeys, 3, false); len(with) > 0 {
			p.steps = append(p.steps, step{with: with})
		}
	}
	for range 1 + g.upTo(4) {
		e := event{steps: g.upTo(len(p.steps) + 1), msg: g.text(), fields: g.fields(eventKeys, 4, false)}
		if p.other != nil || p.added != nil {
			e.context = contextKind(g.upTo(int(contextKinds)))
		}
		p.lines = append(p.lines, e)
	}
	if g.upTo(3) == 1 { // what most scopes have, and adapters have short cuts for
		p.seen = g.upTo(4)
		for i := range p.scope {
			p.scope[i].Value = g.common()
		}
	}
	if len(p.scope) > 0 && g.upTo(4) == 1 {
		values := []any{noisyValuer{p.noise}, noisyValue{p.noise}, slog.GroupValue(slog.Any("v", noisyValuer{p.noise}))}
		p.scope[g.upTo(len(p.scope))].Value = values[g.upTo(len(values))]
	}
	if g.upTo(8) == 1 && scope.Carrier() != "portable" { // a plain go statement inherits nothing there
		p.ended = true
		if g.bool() {
			if p.opts == nil {
				p.opts = new(logadapters.Options)
			}
			p.opts.Ended = logadapters.DropEnded
		}
	}
	return p
}

// shown returns the fields that a line of e has, before the options.
func (p *program) shown(e event, opts logadapters.Options) (fields []Field) {
	fields = p.scope
	switch e.context {
	case otherTask:
		return p.other
	case addedEarly, addedLate:
		fields = slices.Clone(fields)
		for _, f := range p.added {
			if i := slices.IndexFunc(fields, func(g Field) bool { return g.Key == f.Key }); i >= 0 {
				fields[i] = f
			} else {
				fields = append(fields, f)
			}
		}
	}
	if p.ended {
		if opts.Ended == logadapters.DropEnded {
			fields = nil
		}
		fields = append(slices.Clip(fields), Field{logadapters.EndedKey, true})
	}
	return fields
}

// common returns a value as most fields have it.
func (g *Generator) common() any {
	switch g.upTo(6) {
	case 0:
		return int(g.uint64())
	case 1:
		return g.uint64()
	case 2:
		return g.bool()
	}
	return g.text()
}

// compare runs p with a's loggers. It returns the first difference, or "", and the
// number of lines compared.
func (a *Adapter) compare(p program) (difference string, compared int) {
	opts := logadapters.Options{}
	if p.opts != nil {
		opts = *p.opts
	}
	json := a.writesJSON()
	var contexts [contextKinds]context.Context
	contexts[noContext] = background
	contexts[otherTask] = scope.NewContext(background, bind(p.other))
	do := func(e event, l Logger) { l.Log(contexts[e.context], e.msg, e.fields...) }
	want := func(e event) (string, error) {
		var bare, full lines
		fields := a.plain(p.shown(e, opts))
		if opts.Group != "" && len(fields) > 0 {
			fields = []Field{{opts.Group, Group(fields)}}
		}
		if opts.Duplicates == logadapters.EventWins {
			taken := a.Own
			if a.Lacks&EventKeys == 0 && json {
				do(e, last(p.loggers(a.Reference(&bare, nil), e.steps)))
				o, err := decodeRoot(bare.String())
				if err != nil {
					return "", fmt.Errorf("the reference wrote\n\t%s\nwhich can't be decoded: %w", indent(bare.String()), err)
				}
				taken = append(o, taken...)
			}
			fields = slices.DeleteFunc(slices.Clone(fields), func(f Field) bool {
				return slices.Contains(taken, string([]rune(f.Key))) // as JSON has it: valid UTF-8
			})
		}
		do(e, last(p.loggers(a.Reference(&full, fields), e.steps)))
		return full.String(), nil
	}

	scope.Scope{}.Run(func() {
		var out lines
		root := a.New(&out, p.opts)
		var loggers []Logger
		if p.early {
			loggers = p.loggers(root, len(p.steps))
		}
		seen := func() {
			for range p.seen {
				root.Log(background, "seen")
			}
			out.take()
		}
		half := func() {
			contexts[entryContext] = scope.NewContext(background, scope.Current())
			contexts[addedEarly] = scope.NewContext(contexts[entryContext], scope.With(arguments(p.added)...))
			seen()
		}
		p.bound(half, func() {
			contexts[addedLate] = scope.NewContext(contexts[addedEarly], scope.With(arguments(p.added)...))
			if loggers == nil {
				loggers = p.loggers(root, len(p.steps))
			}
			for _, e := range p.lines {
				want, err := want(e)
				if err != nil {
					difference = err.Error()
					return
				}
				if want == "" {
					difference = fmt.Sprintf("the reference wrote nothing by logger %d of\n%s", e.steps, p)
					return
				}
				for _, when := range []string{"first", "second"} { // the second time it may be remembered
					p.noise.calls, p.noise.log = 0, func() { root.Log(background, noisyLine) }
					do(e, loggers[e.steps])
					p.noise.log = nil
					got, noisy := out.takeWithout(noisyLine)
					if noisy < p.noise.calls {
						difference = fmt.Sprintf("values have logged %d lines, and %d were written by\n%s", p.noise.calls, noisy, p)
						return
					}
					if got != want {
						difference = fmt.Sprintf("the %s time, the adapter wrote\n\t%s\nand not\n\t%s\nby logger %d of\n%s", when, indent(got), indent(want), e.steps, p)
						return
					}
					compared++
				}
			}
		})
	})
	return difference, compared
}

// loggers returns l and what the first n steps make of it. Byte slices that were attached
// are changed afterwards.
func (p *program) loggers(l Logger, n int) []Logger {
	loggers := []Logger{l}
	for _, s := range p.steps[:n] {
		if s.with != nil {
			fields, bufs := withBuffers(s.with)
			l = l.With(fields...)
			for _, buf := range bufs {
				for i := range buf {
					buf[i] = '!'
				}
			}
		} else {
			l = l.Group(s.group)
		}
		loggers = append(loggers, l)
	}
	return loggers
}

// withBuffers returns fields with byte slices of their own, and these.
func withBuffers(fields []Field) (copied []Field, bufs [][]byte) {
	copied = slices.Clone(fields)
	for i, f := range copied {
		switch v := f.Value.(type) {
		case []byte:
			buf := slices.Clone(v)
			copied[i].Value, bufs = buf, append(bufs, buf)
		case namedBytes:
			buf := slices.Clone(v)
			copied[i].Value, bufs = buf, append(bufs, buf)
		case json.RawMessage:
			buf := slices.Clone(v)
			copied[i].Value, bufs = buf, append(bufs, buf)
		case Group:
			members, more := withBuffers(v)
			copied[i].Value, bufs = Group(members), append(bufs, more...)
		}
	}
	return copied, bufs
}

func last(loggers []Logger) Logger { return loggers[len(loggers)-1] }

// bound calls fn with the scope bound, half of it by Set, and before that seen with the
// other half. If the task is to have ended, fn is called by a goroutine that it left behind.
func (p *program) bound(seen, fn func()) {
	half := len(p.scope) / 2
	over, done := make(chan struct{}), make(chan any, 1)
	bind(p.scope[:half]).Run(func() {
		seen()
		for _, f := range p.scope[half:] {
			switch v := f.Value.(type) {
			case Group:
				scope.SetAttrs(f.Attr())
			case slog.Value:
				scope.SetAttrs(slog.Attr{Key: f.Key, Value: v})
			default:
				scope.Set(f.Key, f.Value)
			}
		}
		if !p.ended {
			done <- nil
			fn()
			return
		}
		go func() {
			defer func() { done <- recover() }()
			<-over
			fn()
		}()
	})
	close(over)
	if panicked := <-done; panicked != nil {
		panic(panicked)
	}
}

func (a *Adapter) writesJSON() bool {
	var out lines
	a.Reference(&out, nil).Log(background, "hello")
	return json.Valid([]byte(out.String()))
}

// decodeRoot returns the keys of the JSON object in line.
func decodeRoot(line string) (keys []string, err error) {
	var o map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		return nil, err
	}
	for key := range o {
		keys = append(keys, key)
	}
	return keys, nil
}

// unique returns fields without those whose key came before: a scope has each key once.
func unique(fields []Field) (first []Field) {
	for _, f := range fields {
		if !slices.ContainsFunc(first, func(g Field) bool { return g.Key == f.Key }) {
			first = append(first, f)
		}
	}
	return first
}

func (g *Generator) upTo(n int) int { return int(g.next()) % n }

func (g *Generator) bool() bool { return g.next()&1 == 1 }

func (g *Generator) pick(list []string) string { return list[g.upTo(len(list))] }

func (g *Generator) uint64() (n uint64) {
	for range 1 + g.upTo(8) {
		n = n<<8 | uint64(g.next())
	}
	return n
}

// fields returns up to most fields. Those that are not inScope go to a logger, which
// gets what its users give it: an inlined group, and nothing that it leaves out because
// it can't encode it: loggers differ in whether such a field counts as a duplicate.
func (g *Generator) fields(keys []string, most int, inScope bool) (fields []Field) {
	for range g.upTo(most + 1) {
		f := Field{g.pick(keys), g.value(2, inScope)}
		if group, ok := f.Value.(Group); ok && !inScope && len(group) > 0 && g.upTo(4) == 1 {
			f.Key = ""
			for i := range group {
				group[i].Key = g.pick(keys)
			}
		}
		fields = append(fields, f)
	}
	return fields
}

func (g *Generator) text() string {
	switch g.upTo(12) {
	case 0:
		return ""
	case 1:
		return "with spaces, = and \"quotes\" \\ <&> \u2028"
	case 2:
		return "control\x00\x01\x1b\r\n\t\x7f"
	case 3:
		return "invalid\xff\xc3\x28\xed\xa0\x80"
	case 4:
		if g.upTo(4) == 1 {
			return strings.Repeat("very long ", 1000+g.upTo(256))
		}
		return "日本語 🙂"
	}
	text := make([]byte, g.upTo(12))
	for i := range text {
		text[i] = g.next()
	}
	return string(text)
}

// value returns a value of any kind. odd ones, which some encoders refuse, are for
// scopes only.
func (g *Generator) value(depth int, odd bool) any {
	kinds := len(plainValues)
	if odd {
		kinds += len(oddValues)
	}
	if depth > 0 {
		kinds += 6
	}
	n := g.upTo(kinds)
	if n < len(plainValues) {
		return plainValues[n](g)
	}
	if n -= len(plainValues); odd {
		if n < len(oddValues) {
			return oddValues[n](g)
		}
		n -= len(oddValues)
	}
	switch n {
	case 0, 1:
		group := Group{}
		for range g.upTo(4) {
			group = append(group, Field{g.pick([]string{"a", "b", "x", "y", `quo"te`, "z\xff"}), g.value(depth-1, odd)})
		}
		if inner, ok := g.value(depth-1, odd).(Group); ok {
			group = append(group, Field{"", inner})
		}
		return group
	case 2:
		if v := g.value(depth-1, odd); !isGroup(v) {
			return slog.AnyValue(v)
		}
		return slog.Value{}
	case 3:
		v := Field{"", g.value(depth-1, odd)}.Attr().Value
		if v.Kind() == slog.KindGroup && len(v.Group()) == 0 {
			v = slog.IntValue(0)
		}
		return logValue{v}
	case 4:
		return []any{g.element(), g.element()}
	}
	return map[string]any{"b": g.element(), "a": g.text()}
}

// element returns a value that encoding/json takes.
func (g *Generator) element() any {
	v := g.value(0, false)
	if _, err := json.Marshal(v); err != nil {
		return nil
	}
	return v
}

func isGroup(v any) bool {
	_, ok := v.(Group)
	return ok
}

func pointer[T any](v T) *T { return &v }

var zone = time.FixedZone("over there", -5*3600-1800)

func (g *Generator) time() time.Time {
	t := time.Unix(int64(g.uint64()%(1<<33)), int64(g.uint64()%1e9))
	switch g.upTo(8) {
	case 1:
		return time.Time{}
	case 6:
		return time.Time{}.In(zone)
	case 2:
		return time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC) // out of the range of UnixNano
	case 3:
		return time.Date(9999, 12, 31, 23, 59, 59, 999999999, zone)
	case 4, 5:
		return t.In(zone)
	}
	return t.UTC()
}

func (g *Generator) float() float64 {
	specials := []float64{
		0, math.Copysign(0, -1), 0.1, 1, 1e20, 1e21, 1e-6, 1e-7, math.MaxFloat64, math.SmallestNonzeroFloat64,
		math.MaxFloat32, math.NaN(), math.Inf(1), math.Inf(-1), 123456789.125,
	}
	if n := g.upTo(len(specials) + 5); n < len(specials) {
		return specials[n]
	}
	return math.Float64frombits(g.uint64())
}

// finite returns a number that encoding/json takes.
func (g *Generator) finite() float64 {
	if f := g.float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return f
	}
	return 2.5
}

var plainValues = []func(g *Generator) any{
	func(g *Generator) any { return g.text() },
	func(g *Generator) any { return g.text() },
	func(g *Generator) any { return g.bool() },
	func(g *Generator) any { return int(g.uint64()) },
	func(g *Generator) any { return int8(g.uint64()) },
	func(g *Generator) any { return int16(g.uint64()) },
	func(g *Generator) any { return int32(g.uint64()) },
	func(g *Generator) any { return int64(g.uint64()) },
	func(g *Generator) any { return uint(g.uint64()) },
	func(g *Generator) any { return uint8(g.uint64()) },
	func(g *Generator) any { return uint16(g.uint64()) },
	func(g *Generator) any { return uint32(g.uint64()) },
	func(g *Generator) any { return g.uint64() },
	func(g *Generator) any { return uintptr(g.uint64()) },
	func(g *Generator) any { return g.float() },
	func(g *Generator) any { return float32(g.float()) },
	func(g *Generator) any { return time.Duration(g.uint64()) },
	func(g *Generator) any { return g.time() },
	func(g *Generator) any { return nil },
	func(g *Generator) any { return []byte(g.text()) },
	func(g *Generator) any { return []byte(nil) },
	func(g *Generator) any { return json.RawMessage(`{"raw":[1,2]}`) },
	func(g *Generator) any { return json.Number("12.50") },
	func(g *Generator) any { return errors.New(g.text()) },
	func(g *Generator) any { return fmt.Errorf("wrapped: %w", errors.New(g.text())) },
	func(g *Generator) any { return errors.Join(errors.New(g.text()), errors.ErrUnsupported) },
	func(g *Generator) any { return valueError(g.next()) },
	func(g *Generator) any { return []error{errors.New(g.text()), nil} },
	func(g *Generator) any { return marshaler{} },
	func(g *Generator) any { return textMarshaler{} },
	func(g *Generator) any { return stringer{} },
	func(g *Generator) any { return (*stringer)(nil) },
	func(g *Generator) any { return slog.Level(int8(g.next())) },
	func(g *Generator) any { return slog.KindString },
	func(g *Generator) any { return time.Month(1 + g.upTo(12)) },
	func(g *Generator) any { return big.NewInt(0).SetUint64(g.uint64()) },
	func(g *Generator) any { return net.IPv4(10, 0, 0, g.next()) },
	func(g *Generator) any { return net.IP(nil) },
	func(g *Generator) any { return netip.AddrFrom4([4]byte{10, 0, 0, g.next()}) },
	func(g *Generator) any { return &url.URL{Scheme: "https", Host: "example.com", Path: "/" + g.text()} },
	func(g *Generator) any { return pointer(g.text()) },
	func(g *Generator) any { return pointer(int(g.uint64())) },
	func(g *Generator) any { return pointer(float32(g.finite())) },
	func(g *Generator) any { return pointer(g.bool()) },
	func(g *Generator) any { return (*int)(nil) },
	func(g *Generator) any { return (*record)(nil) },
	func(g *Generator) any { return (*time.Duration)(nil) },
	func(g *Generator) any { return []string{g.text(), ""} },
	func(g *Generator) any { return []string(nil) },
	func(g *Generator) any { return []int{int(g.uint64()), -1} },
	func(g *Generator) any { return []bool{g.bool()} },
	func(g *Generator) any { return []float64{g.finite()} },
	func(g *Generator) any { return []float32{float32(int8(g.next()))} },
	func(g *Generator) any { return []time.Duration{time.Duration(g.uint64())} },
	func(g *Generator) any { return []time.Time{time.Unix(int64(g.next()), 0).UTC()} },
	func(g *Generator) any { return [3]int{int(g.next())} },
	func(g *Generator) any { return map[string]int{"one": 1, "two": int(g.next())} },
	func(g *Generator) any { return map[int]string(nil) },
	func(g *Generator) any { return record{ID: int(g.next()), Name: g.text()} },
	func(g *Generator) any { return &record{Name: g.text(), Next: &record{}} },
	func(g *Generator) any { return struct{}{} },
	func(g *Generator) any { return namedInt(g.uint64()) },
	func(g *Generator) any { return namedString(g.text()) },
	func(g *Generator) any { return namedBytes(g.text()) },
}

var oddValues = []func(g *Generator) any{
	func(g *Generator) any { return failingMarshaler{} },
	func(g *Generator) any { return []float64{math.NaN()} },
	func(g *Generator) any { return complex(g.finite(), 1) },
	func(g *Generator) any { return unsupported },
	func(g *Generator) any { return func() {} },
	func(g *Generator) any { return record{Any: unsupported} },
	func(g *Generator) any { return slog.GroupValue() },
}

// Values that no encoder of JSON takes. One each, so that a logger that prints their
// addresses prints the same twice.
var unsupported = make(chan int)

// A logValue is a LogValuer that all encoders take, also those that don't know what it is.
type logValue struct{ v slog.Value }

func (l logValue) LogValue() slog.Value { return l.v }

type record struct {
	ID   int    `json:"id,omitempty"`
	Name string `json:"name"`
	Next *record
	Any  any `json:",omitempty"`
}

type valueError byte

func (e valueError) Error() string { return fmt.Sprintf("error %d", byte(e)) }

type (
	namedInt    int
	namedString string
	namedBytes  []byte
)
