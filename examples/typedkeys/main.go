// Typedkeys answers: how do I read a field back with its type, and keep a secret out of
// the logs whoever sets it? Declare the key once, with scope.NewKey.
package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
)

// One declaration per key. What it says holds for the name, in the whole program.
var (
	Tenant  = scope.NewKey[string]("tenant")
	Client  = scope.NewKey[netip.Addr]("client")
	Attempt = scope.NewKey[int]("attempt")
	Grants  = scope.NewKey[[]string]("grants", scope.Hidden)  // for the code, never logged
	Session = scope.NewKey[string]("session", scope.Redacted) // logged as [REDACTED]

	// Set by code that isn't ours: the declaration alone is what counts.
	_ = scope.NewKey[string]("card_number", scope.Redacted)
)

func main() {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	slog.SetDefault(slog.New(slogh.New(handler, nil)))

	// Attr makes a field for New, With and SetAttrs.
	scope.New(Tenant.Attr("acme")).Run(func() {
		Client.Set(netip.MustParseAddr("192.0.2.7"))
		Session.Set("s3cr3t")
		Grants.Set([]string{"pay", "refund"})
		pay()
	})
}

func pay() {
	// Typed: no assertion, and no way to mistake one type for another.
	if client, ok := Client.Get(); ok {
		fmt.Println("the client is local:", client.IsLoopback())
	}
	fmt.Println("the grants are", Grants.GetOr(nil))
	Attempt.Set(Attempt.GetOr(0) + 1) // an int stays an int
	slog.Info("paying")

	thirdParty()
	slog.Info("paid")

	// Only an untyped Set can make a value of another type. It is as good as none.
	scope.Set("attempt", "two")
	fmt.Println("attempt", Attempt.GetOr(1))
}

// thirdParty has never heard of our keys. Their policies hold all the same.
func thirdParty() {
	scope.Set("card_number", "4111 1111 1111 1111")
}

// withoutTime makes the output the same each time.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
