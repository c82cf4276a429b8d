package zaph

import (
	"log/slog"
	"reflect"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/logadapters"
)

// derive returns root with the fields, and then ops: what the logger would be if the
// fields had been attached to its root.
func (c *core) derive(fields logadapters.Fields) zapcore.Core {
	if len(fields.Attrs) == 0 {
		return c.bare
	}
	d := c.root.With(zapFields(fields))
	atRoot := true
	for _, op := range c.ops {
		left := op
		if atRoot && c.stamper.Options().Duplicates == logadapters.ScopeWins {
			left = strip(op, fields.Has)
		}
		if slices.ContainsFunc(op, func(f zapcore.Field) bool { return f.Type == zapcore.NamespaceType }) {
			atRoot = false
		}
		if len(left) > 0 {
			d = d.With(left)
		}
	}
	return d
}

// taken: see logadapters.NewStamper.
func (c *core) taken(key string) bool {
	if slices.Contains(c.own.always, key) || c.hasNamespace && key == c.namespace {
		return true
	}
	return c.stamper.Options().Duplicates == logadapters.EventWins && slices.Contains(c.keys, key)
}

// zapFields returns the fields as zap.Any makes them. A group, which zap.Any doesn't
// know, is an object.
func zapFields(fields logadapters.Fields) []zapcore.Field {
	zf := make([]zapcore.Field, len(fields.Attrs))
	for i, a := range fields.Attrs {
		if a.Value.Kind() == slog.KindGroup {
			zf[i] = groupField(a)
		} else {
			zf[i] = zap.Any(a.Key, fields.Any(i))
		}
	}
	if fields.Group != "" {
		return []zapcore.Field{zap.Dict(fields.Group, zf...)}
	}
	return zf
}

func groupField(a slog.Attr) zapcore.Field {
	var members []zapcore.Field
	for _, m := range a.Value.Group() {
		switch {
		case m.Value.Kind() != slog.KindGroup:
			members = append(members, zap.Any(m.Key, m.Value.Any()))
		case m.Key != "":
			members = append(members, groupField(m))
		default: // inlined, as slog does it
			members = append(members, zap.Inline(groupField(m).Interface.(zapcore.ObjectMarshaler)))
		}
	}
	return zap.Dict(a.Key, members...)
}

// rootKeys calls add with each key that fields put where they stand, and returns the
// name of the namespace that they open, if any.
func rootKeys(fields []zapcore.Field, add func(key string)) (namespace string, opens bool) {
	for _, f := range fields {
		switch f.Type {
		case zapcore.SkipType:
		case zapcore.NamespaceType:
			add(f.Key)
			return f.Key, true
		case zapcore.InlineMarshalerType, zapcore.ErrorType:
			// These put more keys than they name, or none that they name.
			for _, key := range shownKeys(f) {
				add(key)
			}
		default:
			add(f.Key)
		}
	}
	return "", false
}

// shownKeys returns the keys that f puts. A method of its value that panics puts none
// here; the logger will call it again.
func shownKeys(f zapcore.Field) (keys []string) {
	defer func() { _ = recover() }()
	enc := zapcore.NewMapObjectEncoder()
	f.AddTo(enc)
	for key := range enc.Fields {
		keys = append(keys, key)
	}
	return keys
}

// strip returns fields without those that drop names, up to the first namespace.
func strip(fields []zapcore.Field, drop func(key string) bool) []zapcore.Field {
	kept := make([]zapcore.Field, 0, len(fields))
	for i, f := range fields {
		if f.Type == zapcore.NamespaceType {
			return append(kept, fields[i:]...)
		}
		if f.Type == zapcore.SkipType || f.Type == zapcore.InlineMarshalerType || !drop(f.Key) {
			kept = append(kept, f)
		}
	}
	return kept
}

// ownKeys has the keys that the encoders of a core write themselves.
type ownKeys struct {
	always                        []string // time, level, message
	name, caller, function, stack []string // on lines that have one
}

// findOwnKeys looks for the EncoderConfigs in c. zap's interfaces don't tell, so this
// reads, by reflection, through the cores and encoders that zap itself makes, and stops
// at any other. Where it finds none it takes the keys of zap.NewProduction.
func findOwnKeys(c zapcore.Core) ownKeys {
	var configs []zapcore.EncoderConfig
	visitConfigs(reflect.ValueOf(c), 0, func(cfg zapcore.EncoderConfig) { configs = append(configs, cfg) })
	if len(configs) == 0 {
		configs = append(configs, zap.NewProductionEncoderConfig())
	}
	var own ownKeys
	put := func(keys *[]string, key string) {
		if key != "" && key != zapcore.OmitKey {
			*keys = append(*keys, key)
		}
	}
	for _, cfg := range configs {
		put(&own.always, cfg.TimeKey)
		put(&own.always, cfg.LevelKey)
		put(&own.always, cfg.MessageKey)
		put(&own.name, cfg.NameKey)
		put(&own.caller, cfg.CallerKey)
		put(&own.function, cfg.FunctionKey)
		put(&own.stack, cfg.StacktraceKey)
	}
	return own
}

var configType = reflect.TypeFor[zapcore.EncoderConfig]()

func visitConfigs(v reflect.Value, depth int, found func(zapcore.EncoderConfig)) {
	if depth > 16 {
		return
	}
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			visitConfigs(v.Elem(), depth+1, found)
		}
	case reflect.Slice:
		if v.Type().Elem() == reflect.TypeFor[zapcore.Core]() {
			for i := range v.Len() {
				visitConfigs(v.Index(i), depth+1, found)
			}
		}
	case reflect.Struct:
		if v.Type() == configType {
			text := func(name string) string { return v.FieldByName(name).String() }
			found(zapcore.EncoderConfig{
				TimeKey: text("TimeKey"), LevelKey: text("LevelKey"), MessageKey: text("MessageKey"),
				NameKey: text("NameKey"), CallerKey: text("CallerKey"), FunctionKey: text("FunctionKey"),
				StacktraceKey: text("StacktraceKey"),
			})
			return
		}
		if v.Type().PkgPath() != configType.PkgPath() {
			return
		}
		for i := range v.NumField() {
			switch f := v.Field(i); f.Type() {
			case reflect.TypeFor[zapcore.Core](), reflect.TypeFor[zapcore.Encoder](), configType, reflect.TypeFor[*zapcore.EncoderConfig]():
				visitConfigs(f, depth+1, found)
			default:
				if v.Type().Field(i).Anonymous {
					visitConfigs(f, depth+1, found)
				}
			}
		}
	}
}

// repeats reports whether stamp has a key that the encoder writes for ent and not for
// every entry.
func (o *ownKeys) repeats(stamp *logadapters.Stamp[zapcore.Core], ent *zapcore.Entry) bool {
	return ent.LoggerName != "" && slices.ContainsFunc(o.name, stamp.Has) ||
		ent.Caller.Defined && (slices.ContainsFunc(o.caller, stamp.Has) || slices.ContainsFunc(o.function, stamp.Has)) ||
		ent.Stack != "" && slices.ContainsFunc(o.stack, stamp.Has)
}

// of returns the keys that the encoder writes for ent and not for every entry.
func (o *ownKeys) of(ent *zapcore.Entry) (keys []string) {
	if ent.LoggerName != "" {
		keys = append(keys, o.name...)
	}
	if ent.Caller.Defined {
		keys = append(append(keys, o.caller...), o.function...)
	}
	if ent.Stack != "" {
		keys = append(keys, o.stack...)
	}
	return keys
}
