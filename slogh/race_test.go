//go:build race

package slogh_test

const raceEnabled = true
