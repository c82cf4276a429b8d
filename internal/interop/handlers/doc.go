// Package handlers holds the tests of slogh around the log/slog handlers of other packages:
// a line differs from that of the bare handler in nothing but the scope's fields.
package handlers
