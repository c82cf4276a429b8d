//go:build !race

package zeroh_test

const raceEnabled = false
