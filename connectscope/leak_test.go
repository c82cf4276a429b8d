package connectscope_test

import (
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
