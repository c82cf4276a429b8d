package zaph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/testkit"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWithTakesBytesAsTheyAre(t *testing.T) {
	var out sink
	for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			root := zap.New(zaph.New(core, nil))
			buf := []byte("alice")
			list := zap.ByteStrings("list", [][]byte{buf})
			plain := root.With(zap.ByteString("customer", buf), zap.Binary("raw", buf), list)
			inside := root.With(zap.Namespace("ns"), zap.ByteString("customer", buf)).With(zap.Binary("raw", buf), list)
			copy(buf, "bobby")
			line := func(stamp string) {
				plain.Info("m")
				inside.Info("m", zap.Int("own", 1))
				wantLines(t, &out,
					`{"level":"info","msg":"m","customer":"alice","raw":"YWxpY2U=","list":["alice"]`+stamp+`}`,
					`{"level":"info","msg":"m"`+stamp+`,"ns":{"customer":"alice","raw":"YWxpY2U=","list":["alice"],"own":1}}`)
			}
			line("")
			for i := range 3 {
				scope.New("i", i).Run(func() {
					line(fmt.Sprintf(`,"i":%d`, i))
					scope.Set("j", i)
					line(fmt.Sprintf(`,"i":%d,"j":%d`, i, i))
					copy(buf, "carol")
				})
				copy(buf, "bobby")
			}
		})
	}
}

// A counter counts how often it is asked for itself, in whichever way.
type counter struct{ calls int }

func (c *counter) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	c.calls++
	enc.AddInt("object", c.calls)
	return enc.AddArray("array", zapcore.ArrayMarshalerFunc(func(enc zapcore.ArrayEncoder) error {
		enc.AppendInt(c.calls)
		return enc.AppendReflected(map[string]int{"n": c.calls})
	}))
}

func (c *counter) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	c.calls++
	enc.AppendInt(c.calls)
	return nil
}

func (c *counter) MarshalJSON() ([]byte, error) {
	c.calls++
	return fmt.Appendf(nil, `{"json": %d, "html":"<&>"}`, c.calls), nil
}

func (c *counter) String() string {
	c.calls++
	return fmt.Sprint("string ", c.calls)
}

type countedError struct{ *counter }

func (e countedError) Error() string { return e.String() }

func TestWhatWithIsGivenIsAskedOnce(t *testing.T) {
	for kind, field := range map[string]func(c *counter) zap.Field{
		"object":  func(c *counter) zap.Field { return zap.Object("v", c) },
		"inline":  func(c *counter) zap.Field { return zap.Inline(c) },
		"array":   func(c *counter) zap.Field { return zap.Array("v", c) },
		"reflect": func(c *counter) zap.Field { return zap.Reflect("v", c) },
		"string":  func(c *counter) zap.Field { return zap.Stringer("v", c) },
		"error":   func(c *counter) zap.Field { return zap.NamedError("v", countedError{c}) },
		"dict": func(c *counter) zap.Field {
			return zap.Dict("v", zap.Object("o", c), zap.Namespace("in"), zap.Int("n", 1))
		},
	} {
		var out sink
		for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
			for _, lazy := range []bool{false, true} {
				for _, namespace := range []bool{false, true} {
					another := name == "foreign" || name == "writing"
					if another && (namespace && kind == "reflect" || !namespace && (kind == "inline" || kind == "error")) {
						// The first is for the core's encoder alone; the keys of the others
						// are asked for first.
						continue
					}
					t.Run(fmt.Sprint(kind, " ", name, " lazy ", lazy, " namespace ", namespace), func(t *testing.T) {
						c := new(counter)
						fields := []zap.Field{field(c), zap.Int("after", 1)}
						if namespace {
							fields = append([]zap.Field{zap.Namespace("ns")}, fields...)
						}
						with := (*zap.Logger).With
						if lazy {
							with = (*zap.Logger).WithLazy
						}
						var want sink
						with(zap.New(jsonCore(&want, zap.InfoLevel)), append(fields, zap.Int("last", 2))...).Info("m")
						c.calls = 0

						l := with(with(zap.New(zaph.New(core, nil)), fields...), zap.Int("last", 2))
						l.Info("m")
						wantLines(t, &out, want.String()[:want.Len()-1])
						for i := range 3 {
							scope.New("k", i).Run(func() {
								l.Info("m")
								l.Info("m", zap.Int("k", 2))
								l.With(zap.Int("more", 1)).Info("m")
							})
						}
						out.Reset()
						if c.calls != 1 {
							t.Errorf("asked %d times", c.calls)
						}
					})
				}
			}
		}
	}
}

// A failing value fails in the middle of what it says.
type failing struct{}

func (failing) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddInt("done", 1)
	return errors.New("no more")
}

func (failing) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	enc.AppendInt(1)
	if err := enc.AppendObject(failing{}); err == nil {
		panic("the encoder doesn't give back what the object says")
	}
	return errors.New("no more elements")
}

// everything has each method of the encoders called.
func everything(enc zapcore.ObjectEncoder) error {
	enc.AddBinary("binary", []byte{1, 2})
	enc.AddByteString("bytes", []byte("<\xff>"))
	enc.AddBool("bool", true)
	enc.AddComplex128("c128", 1+2i)
	enc.AddComplex64("c64", 1-2i)
	enc.AddDuration("duration", time.Second)
	enc.AddFloat64("f64", 1.1)
	enc.AddFloat32("f32", 1.1)
	enc.AddInt("int", -1)
	enc.AddInt64("i64", -64)
	enc.AddInt32("i32", -32)
	enc.AddInt16("i16", -16)
	enc.AddInt8("i8", -8)
	enc.AddString("string", "s\n")
	enc.AddTime("time", time.Unix(1, 2).In(time.FixedZone("zone", 3600)))
	enc.AddTime("far", time.Date(9000, 1, 2, 3, 4, 5, 6, time.UTC))
	enc.AddUint("uint", 1)
	enc.AddUint64("u64", 64)
	enc.AddUint32("u32", 32)
	enc.AddUint16("u16", 16)
	enc.AddUint8("u8", 8)
	enc.AddUintptr("ptr", 9)
	err := errors.Join(
		enc.AddReflected("reflected", map[string]any{"<html>": []any{nil, 1.5, "\u2028"}}),
		enc.AddReflected("nil", nil),
		enc.AddArray("array", zapcore.ArrayMarshalerFunc(everyElement)),
		enc.AddObject("object", zap.DictObject(zap.Namespace("inner"), zap.Int("n", 1))),
	)
	zap.Reflect("bad", make(chan int)).AddTo(enc)
	zap.Object("failing", failing{}).AddTo(enc)
	zap.Array("failing too", failing{}).AddTo(enc)
	zap.Error(fmt.Errorf("wrapped: %w", io.EOF)).AddTo(enc)
	zap.NamedError("rich", verbose{}).AddTo(enc)
	zap.NamedError("panics", testkit.PanickingError{}).AddTo(enc)
	zap.Stringer("panicking", testkit.PanickingString{}).AddTo(enc)
	enc.OpenNamespace("namespace")
	enc.AddInt("inside", 1)
	return err
}

func everyElement(enc zapcore.ArrayEncoder) error {
	enc.AppendByteString([]byte("<\xff>"))
	enc.AppendBool(true)
	enc.AppendComplex128(1 + 2i)
	enc.AppendComplex64(1 - 2i)
	enc.AppendDuration(time.Second)
	enc.AppendFloat64(1.1)
	enc.AppendFloat32(1.1)
	enc.AppendInt(-1)
	enc.AppendInt64(-64)
	enc.AppendInt32(-32)
	enc.AppendInt16(-16)
	enc.AppendInt8(-8)
	enc.AppendString("s")
	enc.AppendTime(time.Unix(1, 2).UTC())
	enc.AppendUint(1)
	enc.AppendUint64(64)
	enc.AppendUint32(32)
	enc.AppendUint16(16)
	enc.AppendUint8(8)
	enc.AppendUintptr(9)
	if enc.AppendReflected(func() {}) == nil {
		enc.AppendString("the encoder takes a func, or doesn't tell yet")
	}
	return errors.Join(
		enc.AppendReflected(map[string]any{"<html>": json.Number("1.50")}),
		enc.AppendArray(zapcore.ArrayMarshalerFunc(func(enc zapcore.ArrayEncoder) error { enc.AppendInt(1); return nil })),
		enc.AppendObject(zap.DictObject(zap.Int("n", 1))),
	)
}

func TestARecordedMarshalerIsWrittenAsWithoutTheAdapter(t *testing.T) {
	fields := []zap.Field{
		zap.Namespace("ns"),
		zap.Object("all", zapcore.ObjectMarshalerFunc(everything)), zap.Array("elements", zapcore.ArrayMarshalerFunc(everyElement)),
		zap.Reflect("chan", make(chan int)), zap.Object("failing", failing{}), zap.Array("failing elements", failing{}),
		zap.Errors("errors", []error{io.EOF, nil, verbose{}, errors.Join(io.EOF, verbose{})}),
		zap.Error(errors.Join(io.EOF, verbose{})), zap.NamedError("rich", verbose{}), zap.NamedError("panics", testkit.PanickingError{}),
		zap.Stringer("stringer", zap.InfoLevel), zap.Stringer("panicking", testkit.PanickingString{}), zap.Any("any", []any{1, "x", nil}),
		zap.Float32("f32", 1.1), zap.Time("time", time.Unix(1, 2).UTC()), zap.Skip(), zap.Int("last", 1), zap.Uintptr("u", 1),
		zap.Inline(zapcore.ObjectMarshalerFunc(everything)), zap.Int("very last", 1),
	}
	spaced := encoderConfig()
	spaced.EncodeTime, spaced.EncodeDuration = zapcore.RFC3339NanoTimeEncoder, zapcore.StringDurationEncoder
	for format, enc := range map[string]zapcore.Encoder{
		"json": zapcore.NewJSONEncoder(encoderConfig()), "console": zapcore.NewConsoleEncoder(spaced),
	} {
		var out, want sink
		zap.New(zapcore.NewCore(enc.Clone(), &want, zap.InfoLevel)).With(append([]zap.Field{zap.Int("k", 1)}, fields...)...).Info("m", zap.Int("own", 1))
		for name, core := range ways(zapcore.NewCore(enc, &out, zap.InfoLevel)) {
			t.Run(format+" "+name, func(t *testing.T) {
				l := zap.New(zaph.New(core, nil)).With(fields...)
				scope.New("k", 1).Run(func() {
					l.Info("m", zap.Int("own", 1))
					wantLines(t, &out, want.String()[:want.Len()-1])
				})
			})
		}
	}
}

// A map that is changed after With, by right, isn't looked at again.
func TestAMapAttachedInANamespaceMayBeChangedLater(t *testing.T) {
	var out sink
	for name, core := range ways(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			tags := map[string]int{"a": 1}
			l := zap.New(zaph.New(core, nil)).With(zap.Namespace("ns"), zap.Any("tags", tags))
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						tags["a"] = i
					}
				}
			}()
			for i := range 20 {
				scope.New("i", i).Run(func() { l.Info("m") })
				wantLines(t, &out, fmt.Sprintf(`{"level":"info","msg":"m","i":%d,"ns":{"tags":{"a":1}}}`, i))
			}
			close(stop)
			<-done
		})
	}
}

func TestAnInlinedObjectOfALineIsAskedOnce(t *testing.T) {
	var out sink
	for name, core := range allWays(jsonCore(&out, zap.InfoLevel)) {
		t.Run(name, func(t *testing.T) {
			l := zap.New(zaph.New(core, nil))
			scope.New("object", "mine", "z", 1).Run(func() {
				c := new(counter)
				l.Info("m", zap.Inline(c), zap.Int("own", 1))
				wantLines(t, &out, `{"level":"info","msg":"m","z":1,"object":1,"array":[1,{"n":1}],"own":1}`)
				if c.calls != 1 {
					t.Errorf("asked %d times", c.calls)
				}
				// What is in its namespace is not at the root.
				l.Info("m", zap.Inline(zap.DictObject(zap.Namespace("ns"), zap.Int("z", 2))), zap.Int("object", 3))
				wantLines(t, &out, `{"level":"info","msg":"m","object":"mine","z":1,"ns":{"z":2,"object":3}}`)
				l.With(zap.Inline(zap.DictObject(zap.Int("z", 2), zap.Namespace("ns"), zap.Int("y", 2)))).Info("m", zap.Int("object", 3))
				wantLines(t, &out, `{"level":"info","msg":"m","z":2,"object":"mine","ns":{"y":2,"object":3}}`)
			})
		})
	}
}
