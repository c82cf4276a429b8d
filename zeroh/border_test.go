//go:build !binary_log

package zeroh_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

// What is encoded without zerolog is what zerolog writes: for each byte, in keys and
// values, in the first field and behind it, and for the extremes of each kind.
func TestEachByteAndEachExtremeIsEncodedAsByZerolog(t *testing.T) {
	check := func(fields ...any) {
		t.Helper()
		var got, want bytes.Buffer
		bare := zerolog.New(&want)
		e := bare.Info()
		for i := 0; i < len(fields); i += 2 {
			e.Fields(fields[i : i+2])
		}
		e.Msg("m")
		hooked := zerolog.New(&got).Hook(zeroh.New(nil))
		scope.New(fields...).Run(func() { hooked.Info().Msg("m") })
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%q: got %q, want %q", fmt.Sprint(fields...), &got, &want)
		}
	}
	for b := range 256 {
		s := string([]byte{byte(b)})
		check("k", s, "ll", "x"+s+"y")
		check(s, 1, "ll", true)
		check("k", 1, "x"+s, 2, s+"y", "v")
	}
	check("k", "é\u2028\U0001F600\xff", "日本", "")
	check("k", int64(math.MinInt64), "ll", int64(math.MaxInt64), "mm", uint64(math.MaxUint64), "n", uint64(0))
	check("k", true, "ll", false, "mm", "")
}
