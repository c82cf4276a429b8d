package zaph

import (
	"bytes"
	"encoding/json"
	"reflect"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
)

// zap's interfaces don't tell how a core decides, nor which keys its encoder writes. This
// file looks, by reflection and once per New, into the cores and encoders that zap itself
// makes. Of others, such as the cores of other packages or of a future zap, nothing is
// known, and nothing guessed.

// A leaf is a core that is wrapped, and what is known of it.
type leaf struct {
	zapcore.Core
	plain   bool                 // iff it is zap's own: its level decides alone, and With encodes at once
	enabled zapcore.LevelEnabler // if it is plain: whom it asks for a level
	quiet   bool                 // iff With, or attach, calls no code of users for bools, integers and strings
	how     reflecting           // encodeValue iff all of it is zap's own, down to encoding/json
	opaque  bool                 // iff it may look at the types of fields, keep a list of them, or change it

	duplicates logadapters.Duplicates

	reserved            []string // the keys that are on each line: the encoder's, and what was attached before
	name, caller, stack []string // on lines that have one
}

// inspect returns c with its leaves wrapped: what is under its samplers and hooks and in the
// branches of its tees.
func inspect(c zapcore.Core, wrap func(*leaf) zapcore.Core) zapcore.Core {
	if _, ok := c.(*core); ok {
		return c // stamps already
	}
	v := reflect.ValueOf(c)
	switch v.Type() {
	case noCore:
		return c
	case teeCore:
		branches := make([]zapcore.Core, v.Len())
		for i := range branches {
			branches[i] = inspect(v.Index(i).Interface().(zapcore.Core), wrap)
		}
		return zapcore.NewTee(branches...)
	case samplerCore, hookedCore:
		outer := reflect.New(v.Type().Elem())
		outer.Elem().Set(v.Elem())
		if inner := outer.Elem().FieldByName("Core"); inner.IsValid() && inner.CanSet() && inner.Type() == coreType {
			inner.Set(reflect.ValueOf(inspect(inner.Interface().(zapcore.Core), wrap)))
			return outer.Interface().(zapcore.Core)
		}
	}
	l := &leaf{Core: c, how: encodeValue, quiet: true}
	l.lookAt(v)
	if e := field(v, "LevelEnabler"); v.Type() == plainCore && e.IsValid() && e.CanInterface() {
		l.enabled, l.plain = e.Interface().(zapcore.LevelEnabler)
	}
	l.quiet = l.quiet || !l.plain
	l.opaque = !l.plain && l.how != encodeValue
	return wrap(l)
}

// The types of zap's own cores, which have no names outside zap.
var (
	plainCore   = reflect.TypeOf(zapcore.NewCore(nil, nil, nil))
	teeCore     = reflect.TypeOf(zapcore.NewTee(zapcore.NewNopCore(), zapcore.NewNopCore()))
	hookedCore  = reflect.TypeOf(zapcore.RegisterHooks(zapcore.NewNopCore()))
	samplerCore = reflect.TypeOf(zapcore.NewSamplerWithOptions(zapcore.NewNopCore(), time.Second, 1, 1))
	noCore      = reflect.TypeOf(zapcore.NewNopCore())
	lazyCore    = reflect.TypeOf(zapcore.NewLazyWith(nil, nil))
	filterCore  = func() reflect.Type {
		c, err := zapcore.NewIncreaseLevelCore(zapcore.NewNopCore(), zapcore.InvalidLevel)
		if err != nil {
			return nil
		}
		return reflect.TypeOf(c)
	}()

	coreType = reflect.TypeFor[zapcore.Core]()
)

// The types of zap's encoders, and how they encode what they don't know.
var (
	jsonEncoder    = reflect.TypeOf(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}))
	consoleEncoder = reflect.TypeOf(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{}))
	byJSON         = field(reflect.ValueOf(zapcore.NewJSONEncoder(zapcore.EncoderConfig{})), "EncoderConfig", "NewReflectedEncoder")
)

// field returns the field that path leads to, or the zero Value.
func field(v reflect.Value, path ...string) reflect.Value {
	for _, name := range path {
		for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return reflect.Value{}
		}
		v = v.FieldByName(name)
	}
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

// lookAt looks at v, a core that is, or is in, the leaf.
func (l *leaf) lookAt(v reflect.Value) {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		l.how, l.quiet = keepValue, false
		return
	}
	switch v.Type() {
	case plainCore:
		l.lookAtEncoder(field(v, "enc"))
	case samplerCore, hookedCore:
		l.lookAt(field(v, "Core"))
	case filterCore:
		l.lookAt(field(v, "core"))
	case teeCore:
		for i := range v.Len() {
			l.lookAt(v.Index(i))
		}
	case lazyCore:
		l.lookAt(field(v, "originalCore"))
		l.lookAtFields(field(v, "fields"))
	case noCore:
	default:
		l.how, l.quiet = keepValue, false
	}
}

// lookAtFields looks at the fields that a lazy core will attach.
func (l *leaf) lookAtFields(fields reflect.Value) {
	if fields.Kind() != reflect.Slice {
		return
	}
	for i := range fields.Len() {
		key, kind := field(fields.Index(i), "Key"), field(fields.Index(i), "Type")
		if key.Kind() != reflect.String || kind.Kind() != reflect.Uint8 {
			return
		}
		switch zapcore.FieldType(kind.Uint()) {
		case zapcore.SkipType, zapcore.InlineMarshalerType:
		case zapcore.NamespaceType:
			l.reserved, l.name, l.caller, l.stack = nil, nil, nil, nil // they stay outside
		default:
			l.reserved = append(l.reserved, key.String())
		}
	}
}

func (l *leaf) lookAtEncoder(enc reflect.Value) {
	if !enc.IsValid() || enc.Type() != jsonEncoder && enc.Type() != consoleEncoder {
		l.how, l.quiet = keepValue, false
		return
	}
	if enc.Type() == consoleEncoder {
		enc = field(enc, "jsonEncoder")
	}
	cfg := field(enc, "EncoderConfig")
	how, text := field(cfg, "NewReflectedEncoder"), field(enc, "buf", "bs")
	if how.Kind() != reflect.Func || byJSON.Kind() != reflect.Func || how.Pointer() != byJSON.Pointer() {
		l.how = keepValue
	}
	if text.Kind() == reflect.Slice && text.Type().Elem().Kind() == reflect.Uint8 {
		attached, open := keysIn(text.Bytes())
		l.reserved = append(l.reserved, attached...)
		if open {
			return // what the encoder writes itself stays outside
		}
	}
	put := func(keys *[]string, names ...string) {
		for _, name := range names {
			if key := field(cfg, name); key.Kind() == reflect.String && key.Len() > 0 {
				*keys = append(*keys, key.String())
			}
		}
	}
	put(&l.reserved, "TimeKey", "LevelKey", "MessageKey")
	put(&l.name, "NameKey")
	put(&l.caller, "CallerKey", "FunctionKey")
	put(&l.stack, "StacktraceKey")
}

// keysIn returns the keys of members, the text of an object without its braces. If its last
// value is an object that is open, they are those of that.
func keysIn(members []byte) (keys []string, open bool) {
	text := append([]byte{'{'}, members...)
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return nil, false
	}
	for dec.More() {
		token, err := dec.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			break
		}
		value := text[dec.InputOffset():]
		var whole json.RawMessage
		if dec.Decode(&whole) != nil {
			keys, _ = keysIn(bytes.TrimLeft(value, ": {"))
			return keys, true
		}
		keys = append(keys, key)
	}
	return keys, false
}

// keysOf calls add with the keys that the encoder writes for ent and not for every entry.
func (l *leaf) keysOf(ent *zapcore.Entry, add func(key string)) {
	for _, of := range []struct {
		shown bool
		keys  []string
	}{{ent.LoggerName != "", l.name}, {ent.Caller.Defined, l.caller}, {ent.Stack != "", l.stack}} {
		if of.shown {
			for _, key := range of.keys {
				add(key)
			}
		}
	}
}
