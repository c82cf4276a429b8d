// Package zaph stamps the lines of go.uber.org/zap with the fields of the running
// goroutine's scope.
//
//	logger, err := zap.NewProduction(zaph.WrapCore(nil))
//
// From then on every line of the logger, of its children, and of zap.L after
// zap.ReplaceGlobals, carries what package scope has bound.
//
// A stamped line is, byte for byte, the line that the logger writes when the same fields
// are attached as zap.Any with With to its root: they come first, and stay outside the
// namespaces that the logger has open. A field whose key the line has itself is left
// out, unless [logadapters.Options] says otherwise.
//
// Levels, tees, samplers and hooks of the wrapped core work as before: lines are stamped
// below them. Inside a core that isn't zap's own, or one that zap.IncreaseLevel has
// wrapped before, a line costs a little more.
package zaph
