package zaph

import (
	"reflect"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zap's interfaces don't tell how a core decides, nor which keys its encoder writes. This
// file looks, by reflection and once per New, through the cores and encoders that zap
// itself makes. What it doesn't know, such as the cores of other packages or of a future
// zap, it takes as a whole.

// A tree is what is known of a core that is wrapped.
type tree struct {
	plain   bool                 // it is zap's own core, which writes what its level lets through
	inlines bool                 // and has one of zap's own encoders, which write a line's fields as attached ones
	counts  bool                 // there is a sampler in it: it must be asked once about each line
	enabled zapcore.LevelEnabler // whom to ask for a level: the core, or whom a plain one asks
	own     ownKeys
}

func look(c zapcore.Core) tree {
	t := tree{counts: samples(reflect.ValueOf(c)), enabled: c, own: findOwnKeys(c)}
	if t.plain = reflect.TypeOf(c) == plainCore; t.plain {
		t.inlines = slices.Contains(ownEncoders, encoderOf(c))
		if f := reflect.ValueOf(c).Elem().FieldByName("LevelEnabler"); f.IsValid() && f.CanInterface() {
			if e, ok := f.Interface().(zapcore.LevelEnabler); ok {
				t.enabled = e
			}
		}
	}
	return t
}

// below returns c with its innermost cores wrapped: those under its samplers and hooks
// and in the branches of its tees.
func below(c zapcore.Core, wrap func(zapcore.Core) zapcore.Core) zapcore.Core {
	v := reflect.ValueOf(c)
	switch v.Type() {
	case teeCore:
		branches := make([]zapcore.Core, v.Len())
		for i := range branches {
			branches[i] = below(v.Index(i).Interface().(zapcore.Core), wrap)
		}
		return zapcore.NewTee(branches...)
	case samplerCore, hookedCore:
		outer := reflect.New(v.Type().Elem())
		outer.Elem().Set(v.Elem())
		if inner := outer.Elem().FieldByName("Core"); inner.IsValid() && inner.CanSet() && inner.Type() == coreType {
			inner.Set(reflect.ValueOf(below(inner.Interface().(zapcore.Core), wrap)))
			return outer.Interface().(zapcore.Core)
		}
	}
	return wrap(c)
}

// The types of zap's own cores, which have no names outside zap.
var (
	plainCore   = reflect.TypeOf(zapcore.NewCore(nil, nil, nil))
	teeCore     = reflect.TypeOf(zapcore.NewTee(zapcore.NewNopCore(), zapcore.NewNopCore()))
	hookedCore  = reflect.TypeOf(zapcore.RegisterHooks(zapcore.NewNopCore()))
	samplerCore = reflect.TypeOf(zapcore.NewSamplerWithOptions(zapcore.NewNopCore(), time.Second, 1, 1))
	filterCore  = func() reflect.Type {
		c, err := zapcore.NewIncreaseLevelCore(zapcore.NewNopCore(), zapcore.InvalidLevel)
		if err != nil {
			return nil
		}
		return reflect.TypeOf(c)
	}()
)

// ownEncoders are the types of zap's encoders.
var ownEncoders = []reflect.Type{
	reflect.TypeOf(zapcore.NewJSONEncoder(zapcore.EncoderConfig{})),
	reflect.TypeOf(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{})),
}

// encoderOf returns the type of the encoder of c, a plain core, or nil.
func encoderOf(c zapcore.Core) reflect.Type {
	for i, s := 0, reflect.ValueOf(c).Elem(); i < s.NumField(); i++ {
		if f := s.Field(i); f.Type() == encoderType && !f.IsNil() {
			return f.Elem().Type()
		}
	}
	return nil
}

// samples reports whether there is a sampler in v, a core.
func samples(v reflect.Value) bool {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() || v.Type() == samplerCore {
		return v.IsValid()
	}
	if v.Type() == teeCore {
		for i := range v.Len() {
			if samples(v.Index(i)) {
				return true
			}
		}
	}
	if v.Type() == hookedCore || v.Type() == filterCore {
		for i, s := 0, v.Elem(); i < s.NumField(); i++ {
			if s.Field(i).Type() == coreType && samples(s.Field(i)) {
				return true
			}
		}
	}
	return false
}

var (
	coreType    = reflect.TypeFor[zapcore.Core]()
	encoderType = reflect.TypeFor[zapcore.Encoder]()
	configType  = reflect.TypeFor[zapcore.EncoderConfig]()
)

// ownKeys has the keys that the encoders of a core write themselves.
type ownKeys struct {
	always                        []string // time, level, message
	name, caller, function, stack []string // on lines that have one
}

// findOwnKeys looks for the EncoderConfigs in c. Where it finds none it takes the keys of
// zap.NewProduction.
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
		if v.Type().Elem() == coreType {
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
			case coreType, encoderType, configType, reflect.PointerTo(configType):
				visitConfigs(f, depth+1, found)
			default:
				if v.Type().Field(i).Anonymous {
					visitConfigs(f, depth+1, found)
				}
			}
		}
	}
}

// repeats reports whether has knows a key that the encoder writes for ent and not for
// every entry.
func (o *ownKeys) repeats(has func(key string) bool, ent *zapcore.Entry) bool {
	return ent.LoggerName != "" && slices.ContainsFunc(o.name, has) ||
		ent.Caller.Defined && (slices.ContainsFunc(o.caller, has) || slices.ContainsFunc(o.function, has)) ||
		ent.Stack != "" && slices.ContainsFunc(o.stack, has)
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
