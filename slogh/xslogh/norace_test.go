//go:build !race

package xslogh_test

const raceEnabled = false
