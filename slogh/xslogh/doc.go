// Package xslogh is slogh for golang.org/x/exp/slog: for code that is still on it.
//
//	xslog.SetDefault(xslog.New(xslogh.New(xslog.NewJSONHandler(os.Stdout, nil), nil)))
//
// It translates between the two packages' types and leaves the rules to slogh.
package xslogh
