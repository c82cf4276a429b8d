package scope

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/taskscope/taskscope/internal/memo"
)

// Error returns err with the scope that is bound here: wherever it is logged, itself or wrapped by
// fmt.Errorf with %w or by errors.Join, the line shows the scope's fields. The text of the error is
// the same, and errors.Is and errors.As find what they found before; ==, type assertions and
// os.IsNotExist don't. A nil err stays nil, and with nothing bound err is returned as it is.
//
// On a line of the same task the fields come behind those of the line's scope, except for keys
// that are on the line already. On a line of another task, or of none, they are in a group
// error_scope. Of several such errors the first gets the group, and if the line's scope has a
// field error_scope, none does. This holds for slogh, xslogh and zaph; zerolog needs a line at
// start-up, see zeroh.MarshalError.
//
// An error keeps its scope in memory, with what adapters have derived from it, what its task
// shares, and what [Scope.Totals] shows, and nothing else of the task.
func Error(err error) error {
	n := bound()
	if err == nil || n == nil {
		return err
	}
	if !memo.Errors.Load() { // written once: all cores read it
		memo.Errors.Store(true)
	}
	return &scopedError{err, Scope{n}}
}

// ErrorScope returns the scope of an error that [Error] has made in the tree of err, and whether
// there is one. Of several it is the innermost, which is where things went wrong; of several that
// are equally deep, the first.
func ErrorScope(err error) (s Scope, ok bool) {
	f := finder{left: maxErrors}
	f.visit(err, 1)
	return f.scope, f.depth > 0
}

// maxErrors bounds how many errors of a tree are looked at: one may lead back to itself.
const maxErrors = 1000

type finder struct {
	left, depth int // depth is that of the scope; 0 if none was found
	scope       Scope
}

func (f *finder) visit(err error, depth int) {
	defer func() { _ = recover() }() // an Unwrap that panics ends its branch: this may be for a line
	for ; err != nil && f.left > 0; depth++ {
		f.left--
		switch e := err.(type) {
		case *scopedError:
			if depth > f.depth {
				f.depth, f.scope = depth, e.scope
			}
			err = e.err
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, branch := range e.Unwrap() {
				f.visit(branch, depth+1)
			}
			return
		default:
			return
		}
	}
}

type scopedError struct {
	err   error
	scope Scope
}

var _ memo.FullError = (*scopedError)(nil)

func (e *scopedError) Error() string { return e.err.Error() }
func (e *scopedError) Unwrap() error { return e.err }
func (e *scopedError) Cause() error  { return e.err } // for github.com/pkg/errors

// Format writes what fmt would write for the wrapped error: for %+v perhaps its stack.
func (e *scopedError) Format(f fmt.State, verb rune) {
	if own, ok := e.err.(fmt.Formatter); ok {
		own.Format(f, verb)
	} else {
		fmt.Fprintf(f, fmt.FormatString(f, verb), e.err)
	}
}

// ErrorType returns the wrapped error's type, as OpenTelemetry's error.type and exception.type have
// it: its SDK would take the type of this wrapper, which says nothing about the failure.
func (e *scopedError) ErrorType() string {
	err := e.Bare()
	for reflect.TypeOf(err) == wrapError { // made by fmt.Errorf: its type says nothing either
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	if own, ok := err.(interface{ ErrorType() string }); ok {
		if name := own.ErrorType(); name != "" {
			return name
		}
	}
	t := reflect.TypeOf(err)
	if t.PkgPath() == "" { // a pointer, say
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

var wrapError = reflect.TypeOf(fmt.Errorf("%w", errors.ErrUnsupported))

// Bare implements memo.Error.
func (e *scopedError) Bare() error {
	if inner, ok := e.err.(*scopedError); ok {
		return inner.Bare()
	}
	return e.err
}
