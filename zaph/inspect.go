package zaph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"reflect"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
)

// zap's interfaces don't tell how a core decides, nor which keys its encoder writes. This file
// looks, by reflection and once per New, into the cores and encoders that zap itself makes (in
// zapcore: core.go, hook.go, increase_level.go, json_encoder.go, lazy_with.go, sampler.go, tee.go).
// About others, such as those of other packages or of a future zap, nothing is assumed.

// A leaf is a core that is wrapped, and what is known about it.
type leaf struct {
	opts    *logadapters.Options
	plain   bool                 // iff it is zap's own: its level decides alone, and With encodes at once
	enabled zapcore.LevelEnabler // if it is plain: the core's own
	how     reflecting           // encodeValue iff all of it is zap's own, down to encoding/json
	opaque  bool                 // iff it may look at the types of fields, keep a list of them, or change it

	reserved []string                               // the keys on each line: the encoder's, and those attached before New
	optional struct{ name, caller, stack []string } // further keys on the lines of entries that have one of these
}

// wrapLeaves returns c with its leaves wrapped: what is under its samplers and hooks and in the
// branches of its tees. These decide about a line as before, and what they let through is stamped.
func wrapLeaves(c zapcore.Core, opts *logadapters.Options) zapcore.Core {
	v := reflect.ValueOf(c)
	switch v.Type() {
	case reflect.TypeFor[*core](), noCore:
		return c // stamps already, or writes nothing
	case teeCore:
		branches := make([]zapcore.Core, v.Len())
		for i := range branches {
			branches[i] = wrapLeaves(v.Index(i).Interface().(zapcore.Core), opts)
		}
		return zapcore.NewTee(branches...)
	case samplerCore, hookedCore:
		outer := reflect.New(v.Type().Elem())
		outer.Elem().Set(v.Elem())
		if inner := outer.Elem().FieldByName("Core"); inner.CanSet() && inner.Type() == reflect.TypeFor[zapcore.Core]() {
			inner.Set(reflect.ValueOf(wrapLeaves(inner.Interface().(zapcore.Core), opts)))
			return outer.Interface().(zapcore.Core)
		}
	}
	l := &leaf{opts: cmp.Or(opts, new(logadapters.Options)), how: encodeValue}
	l.inspect(v)
	if e := field(v, "LevelEnabler"); v.Type() == plainCore && e.CanInterface() {
		l.enabled, l.plain = e.Interface().(zapcore.LevelEnabler)
	}
	l.opaque = !l.plain && l.how != encodeValue
	stamping := &core{leaf: l, bare: attached{core: c}}
	stamping.cache.Attach = func(a attached, fields logadapters.Fields) attached { l.attach(&a, &fields); return a }
	stamping.cache.Expand = l.expandError
	stamping.setCache(stamping.bare, l.reserved)
	return stamping
}

// The types of zap's own cores, which have no names outside zap.
var (
	plainCore   = reflect.TypeOf(zapcore.NewCore(nil, nil, nil))
	teeCore     = reflect.TypeOf(zapcore.NewTee(zapcore.NewNopCore(), zapcore.NewNopCore()))
	hookedCore  = reflect.TypeOf(zapcore.RegisterHooks(zapcore.NewNopCore()))
	samplerCore = reflect.TypeOf(zapcore.NewSamplerWithOptions(zapcore.NewNopCore(), time.Second, 1, 1))
	noCore      = reflect.TypeOf(zapcore.NewNopCore())
	lazyCore    = reflect.TypeOf(zapcore.NewLazyWith(nil, nil))
	aFilter, _  = zapcore.NewIncreaseLevelCore(zapcore.NewNopCore(), zapcore.InvalidLevel)
	filterCore  = reflect.TypeOf(aFilter)
)

// The types of zap's encoders, and how they encode what they don't know.
var (
	jsonEncoder    = reflect.ValueOf(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}))
	consoleEncoder = reflect.ValueOf(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{}))
	byJSON         = field(jsonEncoder, "EncoderConfig", "NewReflectedEncoder")
)

// field returns the field of v that path leads to, without an interface around it. It returns an
// empty struct if there is none.
func field(v reflect.Value, path ...string) reflect.Value {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if len(path) > 0 && reflect.Indirect(v).Kind() == reflect.Struct {
		return field(reflect.Indirect(v).FieldByName(path[0]), path[1:]...)
	}
	if len(path) > 0 || !v.IsValid() {
		return reflect.ValueOf(struct{}{})
	}
	return v
}

// inspect looks at v, which is the leaf's core, or a core inside that.
func (l *leaf) inspect(v reflect.Value) {
	switch v.Type() {
	case plainCore:
		l.inspectEncoder(field(v, "enc"))
	case samplerCore, hookedCore:
		l.inspect(field(v, "Core"))
	case filterCore:
		l.inspect(field(v, "core"))
	case teeCore:
		for i := range v.Len() {
			l.inspect(field(v.Index(i)))
		}
	case lazyCore:
		l.inspect(field(v, "originalCore"))
		fields := field(v, "fields")
		for i := 0; fields.Type() == reflect.TypeFor[[]zapcore.Field]() && i < fields.Len(); i++ {
			switch f := fields.Index(i); zapcore.FieldType(f.FieldByName("Type").Uint()) {
			case zapcore.SkipType, zapcore.InlineMarshalerType:
			case zapcore.NamespaceType:
				*l = leaf{opts: l.opts, how: l.how} // what came before stays outside
			default:
				l.reserved = append(l.reserved, f.FieldByName("Key").String())
			}
		}
	case noCore:
	default:
		l.how = keepValue
	}
}

func (l *leaf) inspectEncoder(enc reflect.Value) {
	switch enc.Type() {
	case consoleEncoder.Type():
		enc = field(enc, "jsonEncoder")
	case jsonEncoder.Type():
	default:
		l.how = keepValue
		return
	}
	how := field(enc, "EncoderConfig", "NewReflectedEncoder")
	if how.Kind() != reflect.Func || byJSON.Kind() != reflect.Func || how.Pointer() != byJSON.Pointer() {
		l.how = keepValue
	}
	if text := field(enc, "buf", "bs"); text.Type() == reflect.TypeFor[[]byte]() {
		attached, open := keysIn(text.Bytes())
		l.reserved = append(l.reserved, attached...)
		if open {
			return // what the encoder writes itself stays outside
		}
	}
	add := func(keys *[]string, names ...string) {
		for _, name := range names {
			if key := field(enc, "EncoderConfig", name); key.Kind() == reflect.String && key.Len() > 0 {
				*keys = append(*keys, key.String())
			}
		}
	}
	add(&l.reserved, "TimeKey", "LevelKey", "MessageKey")
	add(&l.optional.name, "NameKey")
	add(&l.optional.caller, "CallerKey", "FunctionKey")
	add(&l.optional.stack, "StacktraceKey")
}

// keysIn returns the keys of members, the text of an object without its braces. If its last value
// is an object that isn't closed, it returns the keys in there, and open is true.
func keysIn(members []byte) (keys []string, open bool) {
	text := append([]byte{'{'}, members...)
	dec := json.NewDecoder(bytes.NewReader(text))
	_, _ = dec.Token() // the brace
	for dec.More() {
		token, _ := dec.Token()
		key, ok := token.(string)
		if !ok {
			break
		}
		value := text[dec.InputOffset():]
		if dec.Decode(new(json.RawMessage)) != nil {
			keys, _ = keysIn(bytes.TrimLeft(value, ": {"))
			return keys, true
		}
		keys = append(keys, key)
	}
	return keys, false
}

// appendOptional appends the keys that the encoder writes for ent and not for every entry.
func (l *leaf) appendOptional(keys []string, ent *zapcore.Entry) []string {
	if ent.LoggerName != "" {
		keys = append(keys, l.optional.name...)
	}
	if ent.Caller.Defined {
		keys = append(keys, l.optional.caller...)
	}
	if ent.Stack != "" {
		keys = append(keys, l.optional.stack...)
	}
	return keys
}
