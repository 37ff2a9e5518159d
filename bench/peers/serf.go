package main

import (
	"context"
	"fmt"
	"io"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// serfGossip is `serf query` and `serf event`: agents of the library, as the serf
// binary runs them, with the profile for local networks that is its default. There is
// no broker: each responder is an agent, and the caller is one more.
var serfGossip = contender{
	name:  "serf",
	about: "Serf query and user event, by an agent for each responder and one for the caller; profile lan",
	alone: true, // agents gossip all the time
	version: func(context.Context, *site) (string, error) {
		return "serf " + moduleVersion("github.com/hashicorp/serf"), nil
	},
	open:    openSerf,
	respond: respondSerf,
}

const (
	serfQuery = "answer"
	serfEvent = "note"
)

// newAgent makes an agent on a free loopback port, whose events go to the channel.
func newAgent(name string, events chan<- serf.Event) (*serf.Serf, error) {
	conf := serf.DefaultConfig()
	conf.NodeName = name
	conf.EventCh = events
	conf.LogOutput = io.Discard
	conf.MemberlistConfig = memberlist.DefaultLANConfig()
	conf.MemberlistConfig.BindAddr = "127.0.0.1"
	conf.MemberlistConfig.BindPort = 0
	conf.MemberlistConfig.LogOutput = io.Discard
	return serf.Create(conf)
}

func openSerf(ctx context.Context, s *site, n int) (_ *fleet, err error) {
	var undo closers
	defer func() {
		if err != nil {
			undo.close()
		}
	}()
	p, addr, err := s.respondents(ctx, "serf", n, "-")
	if err != nil {
		return nil, err
	}
	undo.add(p.end)
	events := make(chan serf.Event, 1024)
	caller, err := newAgent("caller", events)
	if err != nil {
		return nil, err
	}
	undo.add(func() { _ = caller.Shutdown(); <-caller.ShutdownCh() })
	go drain(events, caller.ShutdownCh())
	if _, err := caller.Join([]string{addr}, true); err != nil {
		return nil, err
	}
	if err := serfKnows(ctx, caller, n+1); err != nil {
		return nil, err
	}
	return &fleet{measures: serfMeasures(s, caller, n), close: undo.close}, nil
}

// drain takes the caller's own events: it is no responder.
func drain(events <-chan serf.Event, ended <-chan struct{}) {
	for {
		select {
		case <-events:
		case <-ended:
			return
		}
	}
}

func serfKnows(ctx context.Context, agent *serf.Serf, members int) error {
	return poll(ctx, func() (bool, error) { return agent.Memberlist().NumMembers() >= members, nil })
}

func serfMeasures(s *site, caller *serf.Serf, n int) []measure {
	call := func(ctx context.Context, round int64) (int, error) {
		params := caller.DefaultQueryParams()
		params.Timeout = patience
		response, err := caller.Query(serfQuery, payload(round), params)
		if err != nil {
			return 0, err
		}
		defer response.Close()
		return count(ctx, n, response.ResponseCh(), func(r serf.NodeResponse) bool { return r.From != "" }), nil
	}
	send := func(_ context.Context, round int64) error { return caller.UserEvent(serfEvent, payload(round), false) }
	return []measure{answered(allAnswered, n, call), handled(s.tally, n, send)}
}

func respondSerf(ctx context.Context, r *responders) error {
	var agents []*serf.Serf
	for i := range r.n {
		events := make(chan serf.Event, 1024)
		agent, err := newAgent(fmt.Sprintf("s-%d", i), events)
		if err != nil {
			return err
		}
		defer func() { _ = agent.Shutdown() }()
		go answerSerf(ctx, events, r, i)
		agents = append(agents, agent)
	}
	first := agents[0].Memberlist().LocalNode().Address()
	if err := joinAll(ctx, agents, first); err != nil {
		return err
	}
	r.ready(first)
	<-ctx.Done()
	return nil
}

// joinAll returns when each agent knows all.
func joinAll(ctx context.Context, agents []*serf.Serf, first string) error {
	for _, agent := range agents[1:] {
		if _, err := agent.Join([]string{first}, true); err != nil {
			return err
		}
	}
	for _, agent := range agents {
		if err := serfKnows(ctx, agent, len(agents)); err != nil {
			return err
		}
	}
	return nil
}

func answerSerf(ctx context.Context, events <-chan serf.Event, r *responders, member int) {
	name := fmt.Appendf(nil, "s-%d", member)
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			switch e := e.(type) {
			case *serf.Query:
				_ = e.Respond(name)
			case serf.UserEvent:
				if round, err := roundOf(e.Payload); err == nil {
					r.handled(member, round)
				}
			}
		}
	}
}
