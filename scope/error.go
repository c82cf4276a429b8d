package scope

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/taskscope/taskscope/internal/memo"
)

// Error returns err with the scope that is bound here: a line that is given it, or an error
// that was made of it with fmt.Errorf and %w or with errors.Join, shows the scope's fields,
// wherever it is logged. The text of the error is the same, and errors.Is and errors.As find
// what they found; ==, type assertions and os.IsNotExist don't. nil stays nil, and with nothing
// bound err stays as it is.
//
// On a line of the same task the fields come behind those of the line's scope, if their keys
// are on it in no other way. On a line of another task, or of none, they are in a group
// error_scope; of several such errors the first has it, and a field error_scope of the line's
// scope leaves no room for it. So it is with slogh, xslogh and zaph; zerolog needs a line at
// start-up, see zeroh.MarshalError.
//
// While the error is kept, so are the scope, with what adapters have made of it for lines, what
// its task shares, and what [Scope.Totals] shows: nothing else of the task.
func Error(err error) error {
	n := bound()
	if err == nil || n == nil {
		return err
	}
	if !memo.Errors.Load() { // no write to what all cores share, but for the first
		memo.Errors.Store(true)
	}
	return &scopedError{err, Scope{n}}
}

// ErrorScope returns the scope of an error in the tree of err that [Error] has made, and whether
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

// Format writes what fmt writes of the error itself: with %+v its stack, perhaps.
func (e *scopedError) Format(f fmt.State, verb rune) {
	if own, ok := e.err.(fmt.Formatter); ok {
		own.Format(f, verb)
	} else {
		fmt.Fprintf(f, fmt.FormatString(f, verb), e.err)
	}
}

// ErrorType returns what OpenTelemetry's error.type and exception.type of the error itself are:
// its SDK would take the type of this wrapper, which says nothing about the failure.
func (e *scopedError) ErrorType() string {
	err := e.Bare()
	for reflect.TypeOf(err) == wrapError { // of fmt.Errorf: that isn't a type of its own
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
