package frameworks

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/taskscope/taskscope/examples/frameworks/userspb"
)

// users is the service. It knows of no id, and of no HTTP.
type users struct {
	userspb.UnimplementedUsersServer
}

func (users) Find(_ context.Context, id *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	slog.Info("user", "user", id.Value)
	return wrapperspb.String(fmt.Sprint("user ", id.Value)), nil
}

func (users) Teapot(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return nil, status.Error(codes.FailedPrecondition, "short and stout")
}

func (users) Fail(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	fail(nil, nil)
	return nil, nil
}

func (users) Slow(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	slog.Info("waiting")
	<-ctx.Done()
	return nil, ctx.Err()
}

func (users) Watch(_ *emptypb.Empty, stream grpc.ServerStreamingServer[wrapperspb.StringValue]) error {
	for i := range 3 {
		slog.Info("event", "n", i)
		if err := stream.Send(wrapperspb.String(strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}
