module github.com/taskscope/taskscope/examples/rpc

go 1.26.0

replace (
	github.com/taskscope/taskscope => ../..
	github.com/taskscope/taskscope/connectscope => ../../connectscope
	github.com/taskscope/taskscope/grpcscope => ../../grpcscope
)

require (
	connectrpc.com/connect v1.21.1
	github.com/taskscope/taskscope v0.0.0
	github.com/taskscope/taskscope/connectscope v0.0.0
	github.com/taskscope/taskscope/grpcscope v0.0.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/felixge/httpsnoop v1.1.0 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)
