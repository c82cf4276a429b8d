// Package xslogh is slogh for golang.org/x/exp/slog: for code that is still on it.
//
//	xslog.SetDefault(xslog.New(xslogh.New(xslog.NewJSONHandler(os.Stdout, nil), nil)))
//
// It translates between the two packages' types and leaves the rules to slogh.
//
// # A line without fields
//
// [docs/unstamped.md] says, from symptom to cause to cure, why a line isn't stamped, or late.
//
// [docs/unstamped.md]: https://github.com/taskscope/taskscope/blob/main/docs/unstamped.md
package xslogh
