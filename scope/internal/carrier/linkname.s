//go:build !purego

// An assembly file, even without code, is what allows the functions without a
// body in slot.go (cmd/go runs the compiler with -complete unless there is one).
