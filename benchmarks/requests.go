package main

import (
	"io"
	"log/slog"
	"strconv"

	"github.com/rs/zerolog"
	"go.uber.org/zap"

	"github.com/taskscope/taskscope/logadapters"
	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/slogh"
	"github.com/taskscope/taskscope/zaph"
	"github.com/taskscope/taskscope/zeroh"
)

func init() {
	add(5, "A request", growing)
	add(5, "A request", each(item, "slog", "zap", "zerolog")...)
	add(5, "A request", each(background, "slog", "zap", "zerolog")...)
	add(5, "A request", withOnTop)
}

// Of how many lines the requests are that are measured for each logger.
var requestLines = []int{1, 2, 5, 10}

const requestFloor = "The third row writes nothing of the scope: less than that no adapter takes. What the logger's own With does is in all rows, " +
	"and on top of it come the scope, which other loggers, goroutines and Get use too, what is remembered with it, and some 40 ns for each line. Saved are boxed arguments, " +
	"the list of fields, and the child logger. To write the fields with each of the first lines, and to remember nothing until then, was built and measured: for zap, 0.74 for one line and 1.02 for two, " +
	"but 1.39 for five and 1.62 for ten (the first twelve lines so); with the first line only, 0.9 and 1.5, 1.31, 1.22. Such an adapter would have to know beforehand how many lines there will be."

// request returns a table of which the first two rows are the references, and the third is the least
// that an adapter takes.
func request(logger string, lines int, rows []row) table {
	bytes := map[string]float64{}
	for _, r := range rows[3:] {
		bytes[r.name] = 1.25
		if logger != "zerolog" && r.name[len(r.name)-len(once):] == once {
			bytes[r.name] = 1
		}
	}
	column := strconv.Itoa(lines) + " lines"
	if lines == 1 {
		column = "1 line"
	}
	return table{name: logger + " request", column: column, note: requestFloor, references: 2, smallHeap: true, cores: true, bytes: bytes, rows: rows,
		about: "Open a scope or a child logger, give it four fields, write the lines, drop it. The child is in a variable, or in a ctx in which each line looks it up. The fields are set by four calls of scope.Set, or by one of scope.SetAttrs."}
}

const (
	variable = "With per request, in a variable"
	inCtx    = "With per request, in a ctx"
	least    = "With per request, in a variable, and Set four times"
	each4    = ", Set four times"
	once     = ", SetAttrs once"
)

func growing() table {
	base := slog.New(slogBase())
	stamped := slog.New(slogh.New(slogBase(), nil))
	keys := []string{"a", "b", "c", "d", "e", "f"}
	return table{name: "slog request that gains fields", cores: true, about: "Four fields, then six times: one field more, one line.", note: "Each line's handler is derived from that of the scope before, as in the chain. The scopes, and what is remembered with each, come on top of it.", rows: []row{
		{"With chain", 0, times(func() {
			l := slogChild(base)
			for _, key := range keys {
				l = l.With(key, "x")
				slogHello(l)
			}
		})},
		{"taskscope slogh", 1.0, times(func() {
			setOnce(func() {
				for _, key := range keys {
					scope.Set(key, "x")
					slogHello(stamped)
				}
			})
		})},
	}}
}

// A child has one field more than a request of four fields.
type child struct {
	adapter string
	with    func(lines int) // makes a child logger, and writes lines with it
	line    func()          // is stamped
}

func childOf(logger string) child {
	switch logger {
	case "slog":
		l, stamped := slogChild(slog.New(slogBase())), slog.New(slogh.New(slogBase(), nil))
		return child{"slogh", func(lines int) {
			l := l.With("item", id)
			repeat(lines, func() { slogHello(l) })
		}, func() { slogHello(stamped) }}
	case "zap":
		l, stamped := zapChild(zap.New(zapBase())), zap.New(zaph.New(zapBase(), nil))
		return child{"zaph", func(lines int) {
			l := l.With(zap.String("item", id))
			repeat(lines, func() { zapHello(l) })
		}, func() { zapHello(stamped) }}
	}
	base := zerolog.New(io.Discard)
	l, stamped := zeroChild(&base), base.Hook(zeroh.New(nil))
	return child{"zeroh hook", func(lines int) {
		l := l.With().Str("item", id).Logger()
		repeat(lines, func() { zeroHello(&l) })
	}, func() { zeroHello(&stamped) }}
}

// item compares a scope for each item with a child logger for each.
func item(logger string) table {
	c := childOf(logger)
	return table{name: logger + " line for each item", cores: true, about: "Under a request of four fields, each item of a list is done with one field more, and logs a line.",
		note: "The request logs nothing itself, so nothing is remembered for it: all five fields are attached for each item, where the child logger attaches one. On top of it come the scope, and what is remembered with it, which one line doesn't earn back.",
		rows: []row{
			{"With per item", 0, times(func() { c.with(1) })},
			{"taskscope " + c.adapter, 0, func(n int) {
				setOnce(func() { repeat(n, func() { scope.With("item", id).Run(c.line) }) })
			}},
		}}
}

// background compares scope.Go with a go statement whose goroutine has a child logger.
func background(logger string) table {
	c := childOf(logger)
	return table{name: logger + " background task", cores: true, about: "Under a request of four fields, which has logged a line, a goroutine gets one field more, and logs five lines.",
		note: "A new goroutine has 2 KB of stack, and a stack that becomes too small is copied to one of twice the size. What taskscope does at the first line of a scope takes as many such copies as a child logger by hand: one with zap and zerolog, two with slog (amd64, Go 1.26).",
		rows: []row{
			{"go, and With", 0, func(n int) {
				join(n, func(done func()) {
					go func() {
						c.with(5)
						done()
					}()
				})
			}},
			{"taskscope Go, and " + c.adapter, 0, func(n int) {
				setOnce(func() {
					c.line()
					join(n, func(done func()) {
						scope.Go(func() {
							scope.Set("item", id)
							repeat(5, c.line)
							done()
						})
					})
				})
			}},
		}}
}

func withOnTop() table {
	base := slog.New(slogBase())
	stamped := slog.New(slogh.New(slogBase(), &logadapters.Options{}))
	lines := func(l *slog.Logger) {
		c := l.With("component", "db")
		c.Info("hello")
		c.Info("bye")
	}
	return table{name: "slog With per request", cores: true, about: "A child logger for each request, and two lines with it; on a scope seen before, or without taskscope.", note: "What the child attaches is passed on at once, and the scope's fields are attached behind it: two times the logger's With, and a handler and a memory of its own, which two lines don't earn back.", rows: []row{
		{"With", 0, func(n int) {
			l := slogChild(base)
			repeat(n, func() { lines(l) })
		}},
		{"taskscope slogh, With", 1.3, func(n int) {
			setOnce(func() { repeat(n, func() { lines(stamped) }) })
		}},
	}}
}
