package main

import (
	"bytes"
	"os"
	"testing"
)

func TestTheWorkersLinesCarryWhatTheRequestsDo(t *testing.T) {
	want, err := os.ReadFile("testdata/output.txt")
	if err != nil {
		t.Fatal(err)
	}
	url, stop, err := startNATS()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	// A server of its own, and one that is there already.
	for name, url := range map[string]string{"embedded": "", "-nats": url} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(url, &out); err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("it prints\n%s\nand testdata/output.txt says\n%s", out.String(), want)
			}
		})
	}
}

func TestNoServerIsAnError(t *testing.T) {
	url, stop, err := startNATS()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := run(url, &bytes.Buffer{}); err == nil {
		t.Errorf("no error, though nobody listens on %s", url)
	}
}
