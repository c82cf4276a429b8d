//go:build binary_log

package zeroh_test

const binary = true
