package interop

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pkg/errors"
	"go.uber.org/multierr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/zaph"
)

// What other packages find out about an error they find out about what scope.Error makes of it.
func TestErrorsOfOtherPackages(t *testing.T) {
	scope.New("request_id", "r").Run(func() {
		for _, err := range []error{
			scope.Error(status.Error(codes.NotFound, "no order")),
			fmt.Errorf("oh: %w", scope.Error(status.Error(codes.NotFound, "no order"))),
			scope.Error(fmt.Errorf("oh: %w", status.Error(codes.NotFound, "no order"))),
		} {
			s, ok := status.FromError(err)
			if !ok || s.Code() != codes.NotFound || status.Code(err) != codes.NotFound || !strings.Contains(s.Message(), "no order") {
				t.Errorf("%v: the status is %v", err, s)
			}
		}
		stack := errors.New("with a stack")
		marked := scope.Error(errors.Wrap(stack, "oh"))
		if got := fmt.Sprintf("%+v", marked); !strings.Contains(got, "interop.TestErrorsOfOtherPackages") {
			t.Errorf("%%+v writes %q", got)
		}
		if errors.Cause(errors.Unwrap(marked)) != stack {
			t.Error("the cause is lost")
		}
		causes := multierr.Combine(stack, scope.Error(stack))
		if s, ok := scope.ErrorScope(causes); !ok || !s.Has("request_id") || len(multierr.Errors(causes)) != 2 {
			t.Errorf("causes: %v, %v", s, ok)
		}
		// zap writes the stack and the causes as ever.
		line := func(err error) string {
			var out bytes.Buffer
			core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), zapcore.AddSync(&out), zap.InfoLevel)
			zap.New(zaph.New(core, nil)).Info("m", zap.Error(err))
			return out.String()
		}
		for _, err := range []error{errors.Wrap(stack, "oh"), multierr.Combine(stack, errors.New("another"))} {
			if got, want := line(scope.Error(err)), line(err); got != want {
				t.Errorf("\ngot  %swant %s", got, want)
			}
		}
	})
}
