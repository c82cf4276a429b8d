// Migrate answers: what do I change in an existing code base? Two lines: one where the
// logger is made, one where a request enters. zap.go, zerolog.go and slog.go show both,
// before and after; existing.go is the code base, which stays as it is.
package main

import "fmt"

func main() {
	for _, m := range []struct {
		name          string
		before, after func(requestID string)
	}{
		{"zap", zapBefore, zapAfter},
		{"zerolog", zerologBefore, zerologAfter},
		{"slog", slogBefore, slogAfter},
	} {
		fmt.Println(m.name, "before:")
		m.before("req-1")
		fmt.Println(m.name, "after:")
		m.after("req-1")
	}
}
