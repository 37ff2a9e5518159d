package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/redis/go-redis/v9"
)

// redisPubSub is a round trip by hand, as applications write it: the request is
// published to one channel, each answer to another, to which the caller listens.
var redisPubSub = contender{
	name:    "redis",
	about:   "Redis pub/sub: request and answers published to two channels; a client for each responder",
	version: redisVersion,
	open:    openRedis,
	respond: respondRedis,
}

const (
	redisAnswer  = "peers.answer"
	redisAnswers = "peers.answers"
	redisNote    = "peers.note"
)

func redisVersion(ctx context.Context, _ *site) (string, error) {
	out, err := exec.CommandContext(ctx, "redis-server", "--version").Output()
	if err != nil {
		return "", &absentError{Reason: "redis-server is not in PATH", Install: "apt-get install --no-install-recommends redis-server"}
	}
	version := "redis-server"
	for _, field := range strings.Fields(string(out)) {
		if v, ok := strings.CutPrefix(field, "v="); ok {
			version += " " + v
		}
	}
	return version + ", go-redis " + moduleVersion("github.com/redis/go-redis/v9"), nil
}

// startRedis starts a server that stores nothing.
func startRedis(ctx context.Context, s *site) (*process, string, error) {
	addr, port, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	p, _, err := s.startProgram(ctx, "Ready to accept connections", nil,
		"redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
	return p, addr, err
}

func openRedis(ctx context.Context, s *site, n int) (_ *fleet, err error) {
	var undo closers
	defer func() {
		if err != nil {
			undo.close()
		}
	}()
	broker, addr, err := startRedis(ctx, s)
	if err != nil {
		return nil, err
	}
	undo.add(broker.end)
	p, _, err := s.respondents(ctx, "redis", n, addr)
	if err != nil {
		return nil, err
	}
	undo.add(p.end)
	client := redis.NewClient(&redis.Options{Addr: addr})
	undo.add(func() { _ = client.Close() })
	answers, err := subscribeRedis(ctx, client, redisAnswers)
	if err != nil {
		return nil, err
	}
	undo.add(func() { _ = answers.Close() })
	return &fleet{measures: redisMeasures(s, client, answers.Channel(redis.WithChannelSize(1024)), n), close: undo.close}, nil
}

// subscribeRedis returns when the server has confirmed the subscription.
func subscribeRedis(ctx context.Context, client *redis.Client, channels ...string) (*redis.PubSub, error) {
	sub := client.Subscribe(ctx, channels...)
	for range channels {
		if _, err := sub.Receive(ctx); err != nil {
			_ = sub.Close()
			return nil, err
		}
	}
	return sub, nil
}

func redisMeasures(s *site, client *redis.Client, answers <-chan *redis.Message, n int) []measure {
	call := func(ctx context.Context, round int64) (int, error) {
		request := payload(round)
		if err := client.Publish(ctx, redisAnswer, request).Err(); err != nil {
			return 0, err
		}
		return count(ctx, n, answers, func(m *redis.Message) bool { return strings.HasPrefix(m.Payload, string(request)) }), nil
	}
	send := func(ctx context.Context, round int64) error {
		return client.Publish(ctx, redisNote, payload(round)).Err()
	}
	return []measure{answered(allAnswered, n, call), handled(s.tally, n, send)}
}

func respondRedis(ctx context.Context, r *responders) error {
	for i := range r.n {
		client := redis.NewClient(&redis.Options{Addr: r.addr})
		defer func() { _ = client.Close() }()
		sub, err := subscribeRedis(ctx, client, redisAnswer, redisNote)
		if err != nil {
			return err
		}
		defer func() { _ = sub.Close() }()
		go answerRedis(ctx, client, sub.Channel(), r, i)
	}
	r.ready("")
	<-ctx.Done()
	return nil
}

func answerRedis(ctx context.Context, client *redis.Client, messages <-chan *redis.Message, r *responders, member int) {
	for m := range messages {
		if m.Channel == redisAnswer {
			client.Publish(ctx, redisAnswers, m.Payload+fmt.Sprintf(" s-%d", member))
			continue
		}
		if round, err := roundOf([]byte(m.Payload)); err == nil {
			r.handled(member, round)
		}
	}
}
