package main

import (
	"bytes"
	"context"
	"io"
	"strconv"

	"github.com/rs/zerolog"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zeroh"
)

func init() {
	add(2, "A line", each(zerologLine, lineFields...)...)
	add(4, "A request", each(zerologRequest, requestLines...)...)
}

const zerologFloor = "A child has its fields in the line before the event begins; a hook is called for each line and adds them with RawJSON, all at once: " +
	"the call through the interface, the key that zerolog writes anew, and the copy are what a hook that knows the bytes takes, which is a row here (with Str and Int for each field it was 1.46, in a prototype). L of zeroh.For looks at the slot and at what is remembered, and copies a zerolog.Logger (120 B)."

// A rawHook adds fields whose bytes it knows: what it costs to be a hook.
type rawHook struct{ rest []byte }

// Run adds the fields, whose first is field_0.
func (h *rawHook) Run(e *zerolog.Event, _ zerolog.Level, _ string) { e.RawJSON("field_0", h.rest) }

func newRawHook(args []any) *rawHook {
	var line bytes.Buffer
	l := zerolog.New(&line)
	l.Log().Fields(args).Send()
	return &rawHook{bytes.TrimSuffix(bytes.TrimPrefix(line.Bytes(), []byte(`{"field_0":`)), []byte("}\n"))}
}

func zerologLine(fields int) table {
	args := args(fields)
	base := zerolog.New(io.Discard)
	child := base.With().Fields(args).Logger()
	hooked := base.Hook(zeroh.New(nil))
	raw := base.Hook(newRawHook(args))
	ctx := child.WithContext(context.Background())
	each := zeroh.For(base, nil)
	return table{name: "zerolog line", column: strconv.Itoa(fields) + " fields", cores: true, about: "A line with two fields of its own, JSON to a writer that discards it.", note: zerologFloor, rows: []row{
		{"With child", 0, func(n int) { repeat(n, func() { zeroHello(&child) }) }},
		{"taskscope zeroh hook", 1.14, under(scope.New(args...), func() { zeroHello(&hooked) })},
		{"a hook that adds the same with RawJSON", 0, func(n int) { repeat(n, func() { zeroHello(&raw) }) }},
		{"taskscope zeroh.For", 1.06, under(scope.New(args...), func() { each.Info().Str("path", "/x").Int("status", 200).Msg("hello") })},
		{"taskscope zeroh.For, L for each line", 0, under(scope.New(args...), func() { zeroHello(each.L()) })},
		{"zerolog.Ctx", 0, func(n int) { repeat(n, func() { zeroHello(zerolog.Ctx(ctx)) }) }},
		{"fields by hand", 0, func(n int) {
			repeat(n, func() { base.Info().Str("path", "/x").Int("status", 200).Fields(args).Msg("hello") })
		}},
	}}
}

func zerologRequest(lines int) table {
	base := zerolog.New(io.Discard)
	hooked, each := base.Hook(zeroh.New(nil)), zeroh.For(base, nil)
	must := map[int]float64{1: 1.8, 2: 1.6, 5: 1.35, 10: 1.25}[lines]
	mustFor := map[int]float64{1: 1.5, 2: 1.3, 5: 1.12, 10: 1.08}[lines]
	write := func() { repeat(lines, func() { zeroHello(&hooked) }) }
	writeFor := func() { repeat(lines, func() { each.Info().Str("path", "/x").Int("status", 200).Msg("hello") }) }
	byHand := func() {
		l := zeroChild(&base)
		repeat(lines, func() { zeroHello(&l) })
	}
	return request("zerolog", lines, []row{
		{variable, 0, times(byHand)},
		{inCtx, 0, times(func() {
			l := zeroChild(&base)
			ctx := l.WithContext(context.Background())
			repeat(lines, func() { zeroHello(zerolog.Ctx(ctx)) })
		})},
		{least, 0, times(func() { setEach(byHand) })},
		{"taskscope zeroh hook" + each4, must, times(func() { setEach(write) })},
		{"taskscope zeroh hook" + once, must, times(func() { setOnce(write) })},
		{"taskscope zeroh.For" + each4, mustFor, times(func() { setEach(writeFor) })},
		{"taskscope zeroh.For" + once, mustFor, times(func() { setOnce(writeFor) })},
	})
}
