package main

import (
	"strings"
	"testing"
)

func TestALineThatLacksTheRequestIsFound(t *testing.T) {
	const shop = `{"service":"shop","request_id":"` + requestID + `","trace_id":"` + traceID + `","tenant":"acme","user":"eve"}` + "\n"
	stock := strings.NewReplacer("shop", "stock", `,"user":"eve"`, "").Replace(shop)
	if err := check(shop + shop + stock + stock); err != nil {
		t.Fatal(err)
	}
	for what, last := range map[string]string{
		"another id":        strings.Replace(stock, requestID, "req-2", 1),
		"no id":             strings.Replace(stock, "request_id", "id", 1),
		"another trace":     strings.Replace(stock, traceID, strings.Repeat("a", 32), 1),
		"another tenant":    strings.Replace(stock, "acme", "of-someone-else", 1),
		"the user":          strings.Replace(shop, "shop", "stock", 1),
		"not JSON":          "panic: no\n",
		"a line too few":    "",
		"a line too many":   stock + stock,
		"of the other side": shop,
	} {
		if err := check(shop + shop + stock + last); err == nil {
			t.Errorf("%s: %s was accepted", what, last)
		} else if n := strings.Count(last, "\n"); n == 1 && what != "of the other side" && !strings.Contains(err.Error(), last) {
			t.Errorf("%s: the error doesn't show the line: %v", what, err)
		}
	}
}
