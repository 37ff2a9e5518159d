package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/procgroup"
	"github.com/fleetcast/fleetcast/subscribers"
)

// scriptRunner runs scripts on user events: those that may run in parallel, or the
// others, which the bus calls one event after the other.
type scriptRunner struct {
	handlers []*handler
	identity event.Identity
	// wanted reports whether any runner of this process has a script for an event; the
	// one that speaks says when none has.
	wanted func(name string) bool
	speaks bool
	// places bounds how many run at a time; nil for those that are called one after
	// the other.
	places chan struct{}
}

// maxScripts is how many scripts that may run in parallel run at a time.
const maxScripts = 16

// handle runs all scripts of an event, and fails with those that have failed.
func (r *scriptRunner) handle(ctx context.Context, u subscribers.UserEvent) (any, error) {
	var result output.ScriptOutcomes
	failed := false
	for _, h := range r.handlers {
		if !h.wants(u.Name) {
			continue
		}
		outcome := r.run(ctx, h, u)
		failed = failed || outcome.Error != ""
		result.Scripts = append(result.Scripts, outcome)
	}
	switch {
	case failed:
		return result, errors.New(result.String())
	case len(result.Scripts) > 0:
		return result, nil
	case r.speaks && !r.wanted(u.Name):
		return fmt.Sprintf("no script is for event %q here", u.Name), nil
	}
	return nil, nil
}

// take waits for a place.
func (r *scriptRunner) take(ctx context.Context) (release func(), err error) {
	if r.places == nil {
		return func() {}, nil
	}
	select {
	case r.places <- struct{}{}:
		return func() { <-r.places }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("not started: %d others were running, and then %w", maxScripts, context.Cause(ctx))
	}
}

func (r *scriptRunner) run(ctx context.Context, h *handler, u subscribers.UserEvent) output.ScriptOutcome {
	release, err := r.take(ctx)
	if err != nil {
		return output.ScriptOutcome{Script: h.script, ExitCode: -1, Error: err.Error()}
	}
	defer release()
	log := zerolog.Ctx(ctx).With().Str("event", u.Name).Str("script", h.script).Logger()
	ended, err := procgroup.Run(ctx, procgroup.Command{
		Words: h.words, Dir: h.dir, Env: r.environment(ctx, h, u), Stdin: payloadReader(u.Payload),
		Limit: h.limit, MaxOutput: h.maxOutput,
		Output: func(ctx context.Context, stream string, data []byte) error {
			for line := range bytes.Lines(data) {
				log.Info().Str("stream", stream).Msg(string(bytes.TrimRight(line, "\n")))
			}
			return event.Emit(ctx, subscribers.ExecOutput{Stream: stream, Data: data})
		},
	})
	outcome := output.ScriptOutcome{
		Script: h.script, ExitCode: ended.ExitCode, Killed: ended.Killed,
		OutputBytes: ended.Printed, DroppedBytes: ended.Dropped, Error: faultOf(ended, err),
	}
	if err != nil {
		outcome.ExitCode = -1
	}
	logScript(&log, outcome, ended.Took)
	return outcome
}

// faultOf says why a script has failed, if it has.
func faultOf(ended procgroup.Result, err error) string {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return err.Error() + ": does it begin with a line such as #!/bin/sh?"
	case err != nil:
		return err.Error()
	case ended.Killed != "":
		return "ended, because " + ended.Killed
	case ended.Signal != "":
		return "ended by signal: " + ended.Signal
	case ended.ExitCode != 0:
		return fmt.Sprintf("exit code %d", ended.ExitCode)
	}
	return ""
}

func logScript(log *zerolog.Logger, o output.ScriptOutcome, took time.Duration) {
	if o.DroppedBytes > 0 {
		log.Warn().Int64("output_bytes", o.OutputBytes).Int64("dropped_bytes", o.DroppedBytes).
			Msg("the script has printed more than max-output; the rest was not kept")
	}
	entry := log.Info() // the bus says at a higher level that the event has failed
	if o.Error != "" {
		entry.Str("error", o.Error)
	}
	entry.Int("exit_code", o.ExitCode).Int64("output_bytes", o.OutputBytes).Dur("took_ms", took).Msg("script ended")
}

// environment is what a script gets beside the environment of this process.
func (r *scriptRunner) environment(ctx context.Context, h *handler, u subscribers.UserEvent) []string {
	e, _ := event.FromContext(ctx)
	env := append(slices.Clone(h.env),
		"FLEETCAST_EVENT="+u.Name, "FLEETCAST_EVENT_ID="+e.ID.Hex(), "FLEETCAST_EVENT_TIME="+output.TimeOf(e.Time).Format(time.RFC3339),
		"FLEETCAST_SERVER="+r.identity.Name, "FLEETCAST_SERVER_ID="+r.identity.ServerID.Hex(),
	)
	for key, value := range r.identity.Labels {
		env = append(env, "FLEETCAST_LABEL_"+variableName(key)+"="+value)
	}
	return env
}

// variableName makes a label's key a part of a variable's name.
func variableName(key string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", r) {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
}

// payloadReader is what a script reads: text and binary data as they are, all else
// as JSON.
func payloadReader(payload any) io.Reader {
	switch p := payload.(type) {
	case nil:
		return nil
	case string:
		return strings.NewReader(p)
	case bson.Binary:
		return bytes.NewReader(p.Data)
	}
	typ, data, err := bson.MarshalValue(payload)
	if err != nil {
		return nil
	}
	return bytes.NewReader(output.JSON(bson.RawValue{Type: typ, Value: data}))
}
