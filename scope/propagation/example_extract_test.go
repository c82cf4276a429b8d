package propagation_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// A Map is a carrier like propagation.MapCarrier of OpenTelemetry, which works as it is.
type Map map[string]string

func (m Map) Get(key string) string { return m[key] }
func (m Map) Set(key, value string) { m[key] = value }
func (m Map) Keys() []string        { return slices.Collect(maps.Keys(m)) }

var Plan = scope.NewKey[string]("plan", scope.Propagated)

func ExampleExtract() {
	received := Map{
		"x-request-id": "req-1",
		"baggage":      "plan=gold, admin=true, broken=%zz",
	}
	propagation.Extract(received).Run(func() {
		fmt.Println(scope.Get("request_id"))
		fmt.Println(Plan.Get())
		fmt.Println(scope.Get("admin")) // not declared here, so it isn't taken
	})
	// Output:
	// req-1 true
	// gold true
	// <nil> false
}
