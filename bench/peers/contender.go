package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// contender is one way to reach a fleet and to hear its answers. Each is in a file
// of its own; a new one joins by its line in contenders.
type contender struct {
	name, about string
	// alone is set when its idle fleet loads the machine: it is measured while no
	// other is up. The others are up together, and take turns round by round.
	alone bool
	// version says what is measured, or, by an *absentError, why it cannot be.
	version func(ctx context.Context, s *site) (string, error)
	// open starts a fleet of n responders and what connects the caller with them.
	open func(ctx context.Context, s *site, n int) (*fleet, error)
	// respond is the life of the process with the n responders; nil when the
	// contender starts processes of its own.
	respond func(ctx context.Context, r *responders) error
	// serve is the life of the broker's process; nil when it is another program.
	serve func(ctx context.Context, ready func(addr string)) error
}

// contenders in the order of the report.
var contenders = []contender{ours, bare, natsCore, redisPubSub, postgresNotify, serfGossip, celeryControl}

// floor is the contender that the ratios refer to.
const floor = "bare"

func contenderNamed(name string) (contender, error) {
	for _, c := range contenders {
		if c.name == name {
			return c, nil
		}
	}
	return contender{}, fmt.Errorf("no contender is called %q: there are %v", name, names(contenders))
}

func names(all []contender) []string {
	var list []string
	for _, c := range all {
		list = append(list, c.name)
	}
	return list
}

// absentError says that a contender is not installed.
type absentError struct{ Reason, Install string }

func (e *absentError) Error() string { return e.Reason + "; " + e.Install }

// fleet is n responders, and their caller. close ends all that it has started.
type fleet struct {
	measures []measure
	close    func()
}

// measure is something that is timed on a fleet. The rounds of all measures are
// numbered without repetition.
type measure struct {
	name string
	// most is how many rounds suffice, for what takes a fixed time; 0 = no limit.
	most int
	// round returns how long it took; errIncomplete when somebody was not heard.
	round func(ctx context.Context, round int64) (time.Duration, error)
}

// The measures that all contenders have.
const (
	allAnswered = "publish -> all answered"
	lastHandler = "publish -> last handler"
)

// patience bounds a round: whoever is not heard by then was not heard.
const patience = 10 * time.Second

type errIncomplete struct{ got, want int }

func (e errIncomplete) Error() string { return fmt.Sprintf("%d of %d were heard", e.got, e.want) }

// answered is the time that call takes, which returns how many have answered.
func answered(name string, n int, call func(ctx context.Context, round int64) (int, error)) measure {
	return measure{name: name, round: func(ctx context.Context, round int64) (time.Duration, error) {
		start := time.Now()
		got, err := call(ctx, round)
		took := time.Since(start)
		if err == nil && got < n {
			err = errIncomplete{got, n}
		}
		return took, err
	}}
}

// handled is the time from send until the last of n handlers was called.
func handled(t *tally, n int, send func(ctx context.Context, round int64) error) measure {
	return measure{name: lastHandler, round: func(ctx context.Context, round int64) (time.Duration, error) {
		start := time.Now()
		if err := send(ctx, round); err != nil {
			return 0, err
		}
		last, err := t.await(ctx, round, n)
		return last.Sub(start), err
	}}
}

// payloadBytes is the size of what is published.
const payloadBytes = 128

// payload is what is published in a round: its number, and padding.
func payload(round int64) []byte { return fmt.Appendf(nil, "%0*d", payloadBytes, round) }

// moduleVersion is that of a module that this program was built with.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "(unknown)"
}
