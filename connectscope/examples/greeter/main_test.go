package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/taskscope/taskscope/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestItPrintsWhatTheREADMESays(t *testing.T) {
	want, err := os.ReadFile("testdata/output.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(&out); err != nil {
		t.Fatal(err)
	}
	if out.String() != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("it prints\n%s\nand testdata/output.txt says\n%s", out.String(), want)
	}
}
