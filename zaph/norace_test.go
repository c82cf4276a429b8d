//go:build !race

package zaph_test

const raceEnabled = false
