package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsCore is request-many over core NATS: one request with a reply subject, as many
// answers as there are responders, all to one inbox that stays open between calls.
var natsCore = contender{
	name:  "nats",
	about: "NATS core: request-many to an inbox, and publish; a connection for each responder",
	version: func(context.Context, *site) (string, error) {
		return "nats-server v" + natsserver.VERSION + ", nats.go v" + nats.Version, nil
	},
	open:    openNATS,
	respond: respondNATS,
	serve:   serveNATS,
}

const (
	natsAnswer = "peers.answer"
	natsNote   = "peers.note"
)

func serveNATS(ctx context.Context, ready func(string)) error {
	srv, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		return err
	}
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()
	if !srv.ReadyForConnections(patience) {
		return errors.New("nats-server does not accept connections")
	}
	ready(srv.ClientURL())
	<-ctx.Done()
	return nil
}

func openNATS(ctx context.Context, s *site, n int) (_ *fleet, err error) {
	var undo closers
	defer func() {
		if err != nil {
			undo.close()
		}
	}()
	broker, url, err := s.startRole(ctx, roleServe, "nats")
	if err != nil {
		return nil, err
	}
	undo.add(broker.end)
	p, _, err := s.respondents(ctx, "nats", n, url)
	if err != nil {
		return nil, err
	}
	undo.add(p.end)
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	undo.add(nc.Close)
	measures, err := natsMeasures(s, nc, n)
	return &fleet{measures: measures, close: undo.close}, err
}

func natsMeasures(s *site, nc *nats.Conn, n int) ([]measure, error) {
	inbox := nats.NewInbox()
	answers, err := nc.SubscribeSync(inbox + ".*")
	if err != nil {
		return nil, err
	}
	call := func(_ context.Context, round int64) (int, error) {
		reply := inbox + "." + strconv.FormatInt(round, 10)
		if err := nc.PublishRequest(natsAnswer, reply, payload(round)); err != nil {
			return 0, err
		}
		deadline, got := time.Now().Add(patience), 0
		for got < n {
			m, err := answers.NextMsg(time.Until(deadline))
			if errors.Is(err, nats.ErrTimeout) {
				break
			}
			if err != nil {
				return got, err
			}
			if m.Subject == reply {
				got++
			}
		}
		return got, nil
	}
	send := func(_ context.Context, round int64) error { return nc.Publish(natsNote, payload(round)) }
	return []measure{answered(allAnswered, n, call), handled(s.tally, n, send)}, nc.Flush()
}

func respondNATS(ctx context.Context, r *responders) error {
	for i := range r.n {
		nc, err := nats.Connect(r.addr)
		if err != nil {
			return err
		}
		defer nc.Close()
		if err := subscribeNATS(nc, r, i); err != nil {
			return err
		}
	}
	r.ready("")
	<-ctx.Done()
	return nil
}

func subscribeNATS(nc *nats.Conn, r *responders, member int) error {
	name := fmt.Appendf(nil, "s-%d", member)
	if _, err := nc.Subscribe(natsAnswer, func(m *nats.Msg) { _ = m.Respond(name) }); err != nil {
		return err
	}
	_, err := nc.Subscribe(natsNote, func(m *nats.Msg) {
		if round, err := roundOf(m.Data); err == nil {
			r.handled(member, round)
		}
	})
	return errors.Join(err, nc.Flush())
}

// roundOf reads the number back from a payload.
func roundOf(payload []byte) (int64, error) { return strconv.ParseInt(string(payload), 10, 64) }
