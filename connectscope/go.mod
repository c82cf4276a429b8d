module github.com/taskscope/taskscope/connectscope

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/rs/zerolog v1.35.1
	github.com/taskscope/taskscope v0.0.0
	go.uber.org/zap v1.28.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/felixge/httpsnoop v1.1.0 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	golang.org/x/sys v0.32.0 // indirect
)

replace github.com/taskscope/taskscope => ../
