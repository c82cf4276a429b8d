package main

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/test/bufconn"

	"github.com/taskscope/taskscope/scope"
)

var grpcCases = []scenario{
	{"gRPC server", []form{
		{
			name: "`scope.Set` in an interceptor, with `NumStreamWorkers`", shows: of(wrong), may: of(unstamped),
			why: "a bare Set lasts as long as its goroutine, which serves many calls: what logs before the Set has the id of the previous call. Call `scope.New(…).Run` in the first interceptor",
			run: func(t *trial) { grpcCalls(t, grpcUse{server: bareSet, dial: startInMain, withContext: true}) },
		},
		{
			name: "`scope.New(…).Run` in an interceptor behind one that logs", shows: of(unstamped),
			why: "what logs outside of the interceptor has no scope. Chain it first",
			run: func(t *trial) { grpcCalls(t, grpcUse{server: inside, dial: startInMain, withContext: true}) },
		},
		{
			name: "`scope.New(…).Run` in the first interceptor", recommended: true,
			run: func(t *trial) { grpcCalls(t, grpcUse{server: outside, dial: startInMain, withContext: true}) },
		},
	}},
	{"gRPC client whose stats handler logs", []form{
		{
			name: "the first task calls `grpc.NewClient`", shows: of(another, wrong), may: of(late),
			why: "a connection's goroutines keep the scope of whoever makes the client. Call `grpc.NewClient` in main or in `scope.Outside`, and log with the call's context",
			run: func(t *trial) { grpcCalls(t, grpcUse{server: outside, dial: startInFirst}) },
		},
		{
			name: "`grpc.NewClient` in `scope.Outside`", shows: of(unstamped),
			why: "a connection's goroutines have nothing to inherit. Log with the call's context",
			run: func(t *trial) { grpcCalls(t, grpcUse{server: outside, dial: startOutside}) },
		},
		{
			name: "`grpc.NewClient` in `scope.Outside`, and lines with the call's context", recommended: true,
			run: func(t *trial) {
				grpcCalls(t, grpcUse{server: outside, dial: startOutside, withContext: true})
			},
		},
	}},
}

// A grpcUse is a way to use scopes with gRPC.
type grpcUse struct {
	server      entry
	dial        start
	withContext bool // lines of the client's stats handler
}

const mdKey = "x-request-id"

// grpcCalls has tasks that make a unary call and one with a stream.
func grpcCalls(t *trial, use grpcUse) {
	listener := bufconn.Listen(1 << 20)
	unary := []grpc.UnaryServerInterceptor{func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		id := req.(*grpc_health_v1.HealthCheckRequest).Service
		t.line(id)
		defer t.line(id)
		return handler(ctx, req)
	}}
	stream := []grpc.StreamServerInterceptor{func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		md, _ := metadata.FromIncomingContext(ss.Context())
		id := md["owner"][0]
		t.line(id)
		defer t.line(id)
		return handler(srv, ss)
	}}
	in := func(ctx context.Context, handle func()) {
		md, _ := metadata.FromIncomingContext(ctx)
		if id := md[mdKey][0]; use.server == bareSet {
			scope.Set(idKey, id)
			handle()
		} else {
			scope.New(idKey, id).Run(handle)
		}
	}
	ours := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		in(ctx, func() { resp, err = handler(ctx, req) })
		return resp, err
	}
	oursOfStreams := func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		in(ss.Context(), func() { err = handler(srv, ss) })
		return err
	}
	if use.server == outside {
		unary = append([]grpc.UnaryServerInterceptor{ours}, unary...)
		stream = append([]grpc.StreamServerInterceptor{oursOfStreams}, stream...)
	} else {
		unary, stream = append(unary, ours), append(stream, oursOfStreams)
	}
	server := grpc.NewServer(grpc.NumStreamWorkers(8), grpc.ChainUnaryInterceptor(unary...), grpc.ChainStreamInterceptor(stream...))
	grpc_health_v1.RegisterHealthServer(server, &health{t: t})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	var conn *grpc.ClientConn
	dial := use.dial(func() {
		conn = got(grpc.NewClient("passthrough:///bufconn",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithStatsHandler(callStats{t, use.withContext}),
		))
	})
	t.inTasks(func(id string) {
		dial()
		ctx, cancel := context.WithTimeout(scope.NewContext(context.Background(), scope.Current()), time.Minute)
		defer cancel()
		ctx = context.WithValue(ctx, ownerKey{}, id)
		ctx = metadata.AppendToOutgoingContext(ctx, mdKey, id, "owner", id)
		client := grpc_health_v1.NewHealthClient(conn)
		_ = got(client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: id}))
		watch := got(client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: id}))
		for {
			if _, err := watch.Recv(); err != nil {
				break
			}
			t.line(id)
		}
	})
	must(conn.Close())
	server.GracefulStop()
	must(<-served)
}

// health is the service.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	t *trial
}

func (h *health) Check(_ context.Context, req *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	h.t.work(req.Service, "check")
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func (h *health) Watch(req *grpc_health_v1.HealthCheckRequest, s grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	for range 2 {
		h.t.work(req.Service, "watch")
		if err := s.Send(&grpc_health_v1.HealthCheckResponse{}); err != nil {
			return err
		}
	}
	return nil
}

// callStats logs what happens to a call. Some of it is told on the goroutine that reads from
// the connection.
type callStats struct {
	t           *trial
	withContext bool
}

func (c callStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (c callStats) HandleRPC(ctx context.Context, s stats.RPCStats) {
	switch s.(type) {
	case *stats.InHeader, *stats.OutHeader, *stats.InTrailer:
		id := ctx.Value(ownerKey{}).(string)
		if c.withContext {
			c.t.lineContext(ctx, id)
		} else {
			c.t.line(id)
		}
	}
}

func (c callStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (c callStats) HandleConn(context.Context, stats.ConnStats)                       {}
