package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// ---- what README.md says of the results ----

// A quote is a row of the table in README.md: ratios of some rows.
type quote struct {
	what string
	rows []quoted
}

type quoted struct{ table, column, row string }

var quotes = []quote{
	{"`scope.Get` of 3 fields, to `context.Value`", []quoted{{"Get, 1 of 3", "", "taskscope Get"}}},
	{"`scope.Set` three times, or `scope.SetAttrs` of three, to three `context.WithValue`", []quoted{{"Set, 3 fields", "", "taskscope Set × 3"}, {"Set, 3 fields", "", "taskscope SetAttrs of 3"}}},
	{"a plain `go` under a scope, to one without; `scope.Go`", []quoted{{"A goroutine", "", "go under a taskscope"}, {"A goroutine", "", "taskscope Go"}}},
	{"a stamped line, to a `With` child's: slog, zap, zerolog's hook, `zeroh.For`", []quoted{
		{"slog line", "4 fields", "taskscope slogh"}, {"zap line", "4 fields", "taskscope zaph"}, {"zerolog line", "4 fields", "taskscope zeroh hook"}, {"zerolog line", "4 fields", "taskscope zeroh.For"}}},
	{"a request that calls `scope.Set` four times and writes one line, to a `With` child in a variable: slog, zap, zerolog's hook, `zeroh.For`", requestQuotes("1 line")},
	{"the same with ten lines", requestQuotes("10 lines")},
	{"a scope for each item of a list, with one field and one line, to a `With` child for each: slog, zap, zerolog's hook", []quoted{
		{"slog line for each item", "", "taskscope slogh"}, {"zap line for each item", "", "taskscope zaph"}, {"zerolog line for each item", "", "taskscope zeroh hook"}}},
	{"an HTTP request over loopback with `httpscope.Handler` around an empty handler, to one without, whose answer has an id", []quoted{{"HTTP request", "", "taskscope httpscope.Handler, no Log"}}},
}

func requestQuotes(lines string) []quoted {
	return []quoted{{"slog request", lines, "taskscope slogh" + each4}, {"zap request", lines, "taskscope zaph" + each4},
		{"zerolog request", lines, "taskscope zeroh hook" + each4}, {"zerolog request", lines, "taskscope zeroh.For" + each4}}
}

const serviceQuote = "CPU time of a whole service with 20 lines a request, to child loggers that are passed along: slog, zap, zerolog's hook"

// quotes returns the table for README.md.
func (r *report) quotes() (string, error) {
	ratios := map[quoted]float64{}
	for _, s := range r.sections {
		for i, t := range s.tables {
			for _, x := range s.results[i] {
				ratios[quoted{t.name, t.column, x.name}] = x.ratios[0]
			}
		}
	}
	table := "| | × |\n|---|---|\n"
	for _, q := range quotes {
		var values []string
		for _, row := range q.rows {
			ratio, ok := ratios[row]
			if !ok {
				return "", fmt.Errorf("README.md is to quote a row that isn't there: %+v", row)
			}
			values = append(values, fmt.Sprintf("%.2f", ratio))
		}
		table += fmt.Sprintf("| %s | %s |\n", q.what, strings.Join(values, ", "))
	}
	var values []string
	for _, m := range regexp.MustCompile(`(?m)^\| \w+ \| `+byScope+` \| \d+ µs \| ([\d.]+) \|`).FindAllStringSubmatch(r.commands, -1) {
		values = append(values, m[1])
	}
	return table + fmt.Sprintf("| %s | %s |\n", serviceQuote, strings.Join(values, ", ")), nil
}

var readmeTable = regexp.MustCompile(`(?m)^\| \| × \|\n(\|.*\n)+`)

// quote puts the ratios into README.md.
func (r *report) quote(readme string) error {
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	table, err := r.quotes()
	if err != nil {
		return err
	}
	if n := len(readmeTable.FindAll(text, -1)); n != 1 {
		return fmt.Errorf("%s has %d tables of ratios, want 1", readme, n)
	}
	return os.WriteFile(readme, readmeTable.ReplaceAllLiteral(text, []byte(table)), 0o644)
}
