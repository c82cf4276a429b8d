package scopetest

import (
	"encoding/json"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/rs/zerolog"
)

// A Line is one line of log. Its methods return a field's value as one type, whichever
// logger has written the line. They return the zero value if the line has no such field, or one
// of another kind; Has tells these two apart.
type Line struct {
	// Level is slog's for this level: slog.LevelWarn for a warning of zap or zerolog. Levels
	// above error follow by fours, zerolog's trace lies four below debug, and a line of
	// zerolog without a level has slog.LevelInfo.
	Level   slog.Level
	Message string
	// Fields has each attribute under its key, with those of groups under the names of
	// the groups and the key, joined by dots. Values of slog are resolved, and as
	// slog.Value.Any returns them. Those of zap and zerolog are what their JSON says: an
	// object is a group, and a value is a string, a bool, an int64 for a whole number (a
	// uint64 if it is too large), a float64 for any other, nil, or a []any.
	Fields map[string]any
}

// Has reports whether the line has a field of this key.
func (l Line) Has(key string) bool {
	_, ok := l.Fields[key]
	return ok
}

// String returns the field as text, whatever its kind: "" if there is none.
func (l Line) String(key string) string {
	if v, ok := l.Fields[key]; ok {
		return slog.AnyValue(v).String()
	}
	return ""
}

// Int returns the field if it is a whole number.
func (l Line) Int(key string) int {
	switch v := slog.AnyValue(l.Fields[key]); v.Kind() {
	case slog.KindInt64:
		if n := v.Int64(); int64(int(n)) == n {
			return int(n)
		}
	case slog.KindUint64:
		if n := v.Uint64(); n <= math.MaxInt {
			return int(n)
		}
	}
	return 0
}

// Float returns the field if it is a number.
func (l Line) Float(key string) float64 {
	switch v := slog.AnyValue(l.Fields[key]); v.Kind() {
	case slog.KindInt64:
		return float64(v.Int64())
	case slog.KindUint64:
		return float64(v.Uint64())
	case slog.KindFloat64:
		return v.Float64()
	}
	return 0
}

// Bool returns the field if it is a bool.
func (l Line) Bool(key string) bool {
	b, _ := l.Fields[key].(bool)
	return b
}

// Duration returns the field if it is a duration. A number counts as a duration of zerolog, in
// units of zerolog.DurationFieldUnit.
func (l Line) Duration(key string) time.Duration {
	switch v := l.Fields[key].(type) {
	case time.Duration:
		return v
	case string:
		d, _ := time.ParseDuration(v)
		return d
	}
	return time.Duration(math.Round(l.Float(key) * float64(zerolog.DurationFieldUnit)))
}

// Time returns the field if it is a time, or a text in the format of RFC 3339.
func (l Line) Time(key string) time.Time {
	switch v := l.Fields[key].(type) {
	case time.Time:
		return v
	case string:
		t, _ := time.Parse(time.RFC3339Nano, v)
		return t
	}
	return time.Time{}
}

// fromJSON returns a value as it stands in Fields.
func fromJSON(value any) any {
	switch value := value.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(value.String(), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(value.String(), 10, 64); err == nil {
			return n
		}
		f, _ := value.Float64()
		return f
	case []any:
		for i := range value {
			value[i] = fromJSON(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = fromJSON(value[key])
		}
	}
	return value
}
