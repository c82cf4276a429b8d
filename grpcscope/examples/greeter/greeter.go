package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// What follows stands for the code that protoc generates for a service: one with a method from
// one string to another.

const method = "/example.Greeter/SayHello"

func registerGreeter(server *grpc.Server, greet func(ctx context.Context, name string) (string, error)) {
	handle := func(ctx context.Context, req any) (any, error) {
		answer, err := greet(ctx, req.(*wrapperspb.StringValue).Value)
		return wrapperspb.String(answer), err
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "example.Greeter",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "SayHello",
			Handler: func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
				req := new(wrapperspb.StringValue)
				if err := decode(req); err != nil {
					return nil, err
				}
				return interceptor(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: method}, handle)
			},
		}},
	}, nil)
}

func sayHello(ctx context.Context, conn *grpc.ClientConn, name string) (string, error) {
	answer := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, method, wrapperspb.String(name), answer)
	return answer.Value, err
}
