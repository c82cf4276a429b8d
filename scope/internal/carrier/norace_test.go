//go:build !race && !purego

package carrier

const raceEnabled = false
