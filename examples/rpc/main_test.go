package main

import (
	"strings"
	"testing"
)

func TestALineThatLacksTheRequestIsFound(t *testing.T) {
	const shop = `{"service":"shop","request_id":"` + requestID + `","trace_id":"` + traceID + `","tenant":"acme","user":"eve"}` + "\n"
	stock := strings.NewReplacer("shop", "stock", `,"user":"eve"`, "").Replace(shop)
	prices := strings.Replace(stock, "stock", "prices", 1)
	if err := check(shop + shop + stock + stock + prices + prices); err != nil {
		t.Fatal(err)
	}
	for what, last := range map[string]string{
		"another id":        strings.Replace(prices, requestID, "req-2", 1),
		"no id":             strings.Replace(prices, "request_id", "id", 1),
		"another trace":     strings.Replace(prices, traceID, strings.Repeat("a", 32), 1),
		"another tenant":    strings.Replace(prices, "acme", "of-someone-else", 1),
		"the user":          strings.Replace(shop, "shop", "prices", 1),
		"not JSON":          "panic: no\n",
		"a line too few":    "",
		"a line too many":   prices + prices,
		"of another":        stock,
		"of nobody we know": strings.Replace(prices, "prices", "other", 1),
	} {
		if err := check(shop + shop + stock + stock + prices + last); err == nil {
			t.Errorf("%s: %s was accepted", what, last)
		}
	}
}
