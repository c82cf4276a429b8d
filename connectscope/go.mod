module github.com/taskscope/taskscope/connectscope

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/taskscope/taskscope v0.0.0
	google.golang.org/protobuf v1.36.12
)

require go.uber.org/goleak v1.3.0 // indirect

replace github.com/taskscope/taskscope => ../
