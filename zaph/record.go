package zaph

import (
	"bytes"
	"encoding/json"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/taskscope/taskscope/internal/values"
)

// A recording is an encoder that keeps what it is given as fields, in order, so that it can be
// encoded again and again as it is now: marshalers have run, bytes are copied. The errors of
// marshalers are returned to zap, which adds a field for them.
type recording struct {
	fields []zapcore.Field
	how    reflecting
}

var _ zapcore.ObjectEncoder = (*recording)(nil)

// An arrayRecording is a recording of an array: each of adds appends one element again.
type arrayRecording struct {
	adds []func(encoder) error
	how  reflecting
}

var _ encoder = (*arrayRecording)(nil)

type encoder = zapcore.ArrayEncoder

// reflecting says what becomes of a value that an encoder knows only by reflection.
type reflecting uint8

const (
	keepValue   reflecting = iota // it is kept: nobody else knows how the encoder shows it
	tryValue                      // it is kept after it was encoded once, to see whether it panics
	encodeValue                   // it is encoded as zap's encoders do it by default
)

func (how reflecting) value(v any) (any, error) {
	v = values.CloneBytes(v)
	if how == keepValue || v == nil {
		return v, nil
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	if how == tryValue {
		return v, nil
	}
	return json.RawMessage(bytes.TrimSpace(text.Bytes())), err
}

func (r *recording) add(f zapcore.Field) { r.fields = append(r.fields, f) }

func (r *recording) AddArray(k string, v zapcore.ArrayMarshaler) error {
	a := arrayRecording{how: r.how}
	err := v.MarshalLogArray(&a)
	r.add(zap.Array(k, &a))
	return err
}

func (r *recording) AddObject(k string, v zapcore.ObjectMarshaler) error {
	o := recording{how: r.how}
	err := v.MarshalLogObject(&o)
	r.add(zap.Dict(k, o.fields...))
	return err
}

func (r *recording) AddReflected(k string, v any) error {
	v, err := r.how.value(v)
	if err == nil {
		r.add(zap.Reflect(k, v))
	}
	return err
}

func (r *recording) OpenNamespace(k string)                { r.add(zap.Namespace(k)) }
func (r *recording) AddBinary(k string, v []byte)          { r.add(zap.Binary(k, bytes.Clone(v))) }
func (r *recording) AddByteString(k string, v []byte)      { r.add(zap.ByteString(k, bytes.Clone(v))) }
func (r *recording) AddBool(k string, v bool)              { r.add(zap.Bool(k, v)) }
func (r *recording) AddComplex128(k string, v complex128)  { r.add(zap.Complex128(k, v)) }
func (r *recording) AddComplex64(k string, v complex64)    { r.add(zap.Complex64(k, v)) }
func (r *recording) AddDuration(k string, v time.Duration) { r.add(zap.Duration(k, v)) }
func (r *recording) AddFloat64(k string, v float64)        { r.add(zap.Float64(k, v)) }
func (r *recording) AddFloat32(k string, v float32)        { r.add(zap.Float32(k, v)) }
func (r *recording) AddInt(k string, v int)                { r.add(zap.Int(k, v)) }
func (r *recording) AddInt64(k string, v int64)            { r.add(zap.Int64(k, v)) }
func (r *recording) AddInt32(k string, v int32)            { r.add(zap.Int32(k, v)) }
func (r *recording) AddInt16(k string, v int16)            { r.add(zap.Int16(k, v)) }
func (r *recording) AddInt8(k string, v int8)              { r.add(zap.Int8(k, v)) }
func (r *recording) AddString(k, v string)                 { r.add(zap.String(k, v)) }
func (r *recording) AddTime(k string, v time.Time)         { r.add(zap.Time(k, v)) }
func (r *recording) AddUint(k string, v uint)              { r.add(zap.Uint(k, v)) }
func (r *recording) AddUint64(k string, v uint64)          { r.add(zap.Uint64(k, v)) }
func (r *recording) AddUint32(k string, v uint32)          { r.add(zap.Uint32(k, v)) }
func (r *recording) AddUint16(k string, v uint16)          { r.add(zap.Uint16(k, v)) }
func (r *recording) AddUint8(k string, v uint8)            { r.add(zap.Uint8(k, v)) }
func (r *recording) AddUintptr(k string, v uintptr)        { r.add(zap.Uintptr(k, v)) }

// MarshalLogArray implements zapcore.ArrayMarshaler.
func (r *arrayRecording) MarshalLogArray(to encoder) error {
	for _, add := range r.adds {
		if err := add(to); err != nil {
			return err
		}
	}
	return nil
}

func (r *arrayRecording) add(add func(encoder) error) { r.adds = append(r.adds, add) }

// keep keeps v, to be added with add.
func keep[T any](r *arrayRecording, v T, add func(encoder, T)) {
	r.add(func(to encoder) error { add(to, v); return nil })
}

func (r *arrayRecording) AppendArray(v zapcore.ArrayMarshaler) error {
	a := arrayRecording{how: r.how}
	err := v.MarshalLogArray(&a)
	r.add(func(to encoder) error { return to.AppendArray(&a) })
	return err
}

func (r *arrayRecording) AppendObject(v zapcore.ObjectMarshaler) error {
	o := recording{how: r.how}
	err := v.MarshalLogObject(&o)
	r.add(func(to encoder) error { return to.AppendObject(zap.DictObject(o.fields...)) })
	return err
}

func (r *arrayRecording) AppendReflected(v any) error {
	v, err := r.how.value(v)
	if err == nil {
		r.add(func(to encoder) error { return to.AppendReflected(v) })
	}
	return err
}

func (r *arrayRecording) AppendByteString(v []byte) {
	keep(r, bytes.Clone(v), encoder.AppendByteString)
}
func (r *arrayRecording) AppendBool(v bool)              { keep(r, v, encoder.AppendBool) }
func (r *arrayRecording) AppendComplex128(v complex128)  { keep(r, v, encoder.AppendComplex128) }
func (r *arrayRecording) AppendComplex64(v complex64)    { keep(r, v, encoder.AppendComplex64) }
func (r *arrayRecording) AppendDuration(v time.Duration) { keep(r, v, encoder.AppendDuration) }
func (r *arrayRecording) AppendFloat64(v float64)        { keep(r, v, encoder.AppendFloat64) }
func (r *arrayRecording) AppendFloat32(v float32)        { keep(r, v, encoder.AppendFloat32) }
func (r *arrayRecording) AppendInt(v int)                { keep(r, v, encoder.AppendInt) }
func (r *arrayRecording) AppendInt64(v int64)            { keep(r, v, encoder.AppendInt64) }
func (r *arrayRecording) AppendInt32(v int32)            { keep(r, v, encoder.AppendInt32) }
func (r *arrayRecording) AppendInt16(v int16)            { keep(r, v, encoder.AppendInt16) }
func (r *arrayRecording) AppendInt8(v int8)              { keep(r, v, encoder.AppendInt8) }
func (r *arrayRecording) AppendString(v string)          { keep(r, v, encoder.AppendString) }
func (r *arrayRecording) AppendTime(v time.Time)         { keep(r, v, encoder.AppendTime) }
func (r *arrayRecording) AppendUint(v uint)              { keep(r, v, encoder.AppendUint) }
func (r *arrayRecording) AppendUint64(v uint64)          { keep(r, v, encoder.AppendUint64) }
func (r *arrayRecording) AppendUint32(v uint32)          { keep(r, v, encoder.AppendUint32) }
func (r *arrayRecording) AppendUint16(v uint16)          { keep(r, v, encoder.AppendUint16) }
func (r *arrayRecording) AppendUint8(v uint8)            { keep(r, v, encoder.AppendUint8) }
func (r *arrayRecording) AppendUintptr(v uintptr)        { keep(r, v, encoder.AppendUintptr) }
