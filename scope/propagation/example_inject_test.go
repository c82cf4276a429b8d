package propagation_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

// Headers are those of a message. Get and Set are there already: nats.Header,
// textproto.MIMEHeader and url.Values become a carrier in the same three lines.
type Headers struct{ http.Header }

func (h Headers) Keys() []string { return slices.Collect(maps.Keys(h.Header)) }

var Tenant = scope.NewKey[string]("tenant", scope.Propagated)

func ExampleInject() {
	s := scope.New("request_id", "req-1", "user", "eve", Tenant.Attr("Zürich & Co"))

	msg := http.Header{}
	propagation.Inject(s, Headers{msg})
	fmt.Println(msg)
	// Output:
	// map[Baggage:[tenant=Z%C3%BCrich%20&%20Co] X-Request-Id:[req-1]]
}
