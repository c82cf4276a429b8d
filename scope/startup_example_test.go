package scope_test

import (
	"log"
	"runtime"

	"github.com/taskscope/taskscope/scope"
)

// A service that can't do without inheritance looks when it starts. This is compiled and
// not run: on the portable path it would end the tests.
func Example_startup() {
	if scope.Carrier() == "portable" {
		log.Fatalf("a goroutine wouldn't inherit its scope on %s", runtime.Version())
	}
}
