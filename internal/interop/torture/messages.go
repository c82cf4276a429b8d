package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/taskscope/taskscope/scope"
	"github.com/taskscope/taskscope/scope/propagation"
)

var messageCases = []scenario{
	{"NATS", []form{
		{
			name: "the first task connects and subscribes", shows: of(another, wrong), may: of(late),
			why: "a subscription's goroutine inherits the scope of whoever subscribes, and keeps it for all messages. Connect and subscribe in main or in `scope.Outside`, and let the message carry the id",
			run: func(t *trial) { natsRequests(t, startInFirst, false) },
		},
		{
			name: "connect and subscribe in main", shows: of(unstamped),
			why: "a callback has nothing to inherit. Let the message carry the id: `propagation.Inject` where it is sent, `propagation.Extract` and `Run` in the callback",
			run: func(t *trial) { natsRequests(t, startInMain, false) },
		},
		{
			name: "`propagation.Inject`, and `propagation.Extract` and `Run` in the callback", recommended: true,
			run: func(t *trial) { natsRequests(t, startInFirst, true) },
		},
	}},
	{"watermill's gochannel", []form{
		{
			name: "the first task runs the router", shows: of(another, wrong), may: of(late),
			why: "the router inherits the first task's scope, and each message's goroutine from the router. Run it in main or in `scope.Outside`, with a middleware that calls `Run`",
			run: func(t *trial) { watermillMessages(t, startInFirst, gochannel.Config{}, nil, nil) },
		},
		{
			name: "the router runs in main", shows: of(unstamped),
			why: "a handler has nothing to inherit. Let the message carry the id, or its context carry the scope, and let a middleware call `Run`",
			run: func(t *trial) { watermillMessages(t, startInMain, gochannel.Config{}, nil, nil) },
		},
		{
			name: "`propagation.Inject` into the metadata, and a middleware with `propagation.Extract` and `Run`", recommended: true,
			run: func(t *trial) {
				watermillMessages(t, startInMain, gochannel.Config{},
					func(m *message.Message) { propagation.Inject(scope.Current(), texts(m.Metadata)) },
					func(h message.HandlerFunc) message.HandlerFunc {
						return func(m *message.Message) (out []*message.Message, err error) {
							propagation.Extract(texts(m.Metadata)).Run(func() { out, err = h(m) })
							return out, err
						}
					})
			},
		},
		{
			name: "`PreserveContext`, `scope.NewContext`, and a middleware with `scope.FromContext` and `Run`", recommended: true,
			run: func(t *trial) {
				watermillMessages(t, startInFirst, gochannel.Config{PreserveContext: true},
					func(m *message.Message) {
						m.SetContext(scope.NewContext(context.Background(), scope.Current()))
					},
					func(h message.HandlerFunc) message.HandlerFunc {
						return func(m *message.Message) (out []*message.Message, err error) {
							s, _ := scope.FromContext(m.Context())
							s.Run(func() { out, err = h(m) })
							return out, err
						}
					})
			},
		},
	}},
}

// header is that of a NATS message, as a propagation.Carrier.
type header nats.Header

func (h header) Get(key string) string { return nats.Header(h).Get(key) }
func (h header) Set(key, value string) { nats.Header(h).Set(key, value) }
func (h header) Keys() []string        { return slices.Collect(maps.Keys(h)) }

// texts are the metadata of a message or job, as a propagation.Carrier.
type texts map[string]string

func (m texts) Get(key string) string { return m[key] }
func (m texts) Set(key, value string) { m[key] = value }
func (m texts) Keys() []string        { return slices.Collect(maps.Keys(m)) }

const channels = 4 // subscriptions, or topics

// natsRequests has tasks that send requests to an embedded server and wait for the answer. carry
// says whether messages carry the id.
func natsRequests(t *trial, start start, carry bool) {
	server := got(natsserver.NewServer(&natsserver.Options{DontListen: true, NoLog: true, NoSigs: true}))
	server.Start()
	if !server.ReadyForConnections(time.Minute) {
		panic("the NATS server doesn't start")
	}
	var conn *nats.Conn
	answer := func(m *nats.Msg) {
		id := string(m.Data)
		work := func() {
			t.work(id, m.Subject)
			must(m.Respond(nil))
		}
		if carry {
			propagation.Extract(header(m.Header)).Run(work)
		} else {
			work()
		}
	}
	use := start(func() {
		conn = got(nats.Connect("", nats.InProcessServer(server)))
		for i := range channels {
			_ = got(conn.Subscribe(fmt.Sprint("subject", i), answer))
		}
	})
	t.inTasks(func(id string) {
		use()
		for range 2 {
			m := nats.NewMsg(fmt.Sprint("subject", t.random(id, "subject").IntN(channels)))
			m.Data = []byte(id)
			if carry {
				propagation.Inject(scope.Current(), header(m.Header))
			}
			_ = got(conn.RequestMsg(m, time.Minute))
		}
		t.line(id)
	})
	conn.Close()
	server.Shutdown()
	server.WaitForShutdown()
}

// watermillMessages has tasks that publish messages and wait until they are acknowledged. prepare
// and middleware may be nil.
func watermillMessages(t *trial, start start, config gochannel.Config, prepare func(*message.Message), middleware message.HandlerMiddleware) {
	config.BlockPublishUntilSubscriberAck = true
	channel := gochannel.NewGoChannel(config, watermill.NopLogger{})
	router := got(message.NewRouter(message.RouterConfig{CloseTimeout: time.Minute}, watermill.NopLogger{}))
	if middleware != nil {
		router.AddMiddleware(middleware)
	}
	for i := range channels {
		topic := fmt.Sprint("topic", i)
		router.AddConsumerHandler(topic, topic, channel, func(m *message.Message) error {
			t.work(string(m.Payload), topic)
			return nil
		})
	}
	ended := make(chan error, 1)
	use := start(func() {
		go func() { ended <- router.Run(context.Background()) }()
		<-router.Running()
	})
	t.inTasks(func(id string) {
		use()
		for range 2 {
			m := message.NewMessage(watermill.NewUUID(), []byte(id))
			if prepare != nil {
				prepare(m)
			}
			must(channel.Publish(fmt.Sprint("topic", t.random(id, "topic").IntN(channels)), m))
		}
		t.line(id)
	})
	must(router.Close())
	must(<-ended)
	must(channel.Close())
}
