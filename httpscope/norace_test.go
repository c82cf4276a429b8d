//go:build !race

package httpscope_test

const raceEnabled = false
