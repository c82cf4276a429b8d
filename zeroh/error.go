package zeroh

import (
	"log/slog"
	"reflect"
	"slices"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
)

// MarshalError is for zerolog.ErrorMarshalFunc:
//
//	zerolog.ErrorMarshalFunc = zeroh.MarshalError
//
// From then on an error that carries a scope (see [scope.Error]) is written as an object: its
// text as message, and the other fields of that scope, which no Filter sees. Any other error is
// written as before.
func MarshalError(err error) any {
	var scopes []scope.Scope
	if logadapters.HaveErrors() {
		scopes = logadapters.AppendErrorScopes(nil, err)
	}
	if len(scopes) == 0 {
		return err
	}
	if bare := logadapters.BareErrors(err)[0]; isNil(bare) {
		return bare // zerolog writes none
	}
	return errorObject{err, scopes[0]}
}

func isNil(err error) bool {
	v := reflect.ValueOf(err)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

type errorObject struct {
	err   error
	scope scope.Scope
}

// MarshalZerologObject implements zerolog.LogObjectMarshaler.
func (o errorObject) MarshalZerologObject(e *zerolog.Event) {
	const message = "message"
	e.Str(message, o.err.Error())
	fields := logadapters.FieldsOf(o.scope.LogValue().Group()...)
	fields.Attrs = slices.DeleteFunc(fields.Attrs, func(a slog.Attr) bool { return a.Key == message })
	logadapters.Encode(o.scope, func() { addAll(e, &fields, true) })
}
