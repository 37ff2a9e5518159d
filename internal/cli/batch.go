package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

// batchFlags roll an action over the fleet.
type batchFlags struct {
	size        string
	sleep       time.Duration
	maxFailures int
}

func (b *batchFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.size, "batch", "", "act on N servers, or N%, at a time, first by name; the next when all of them have answered")
	f.DurationVar(&b.sleep, "batch-sleep", 0, "how long to wait between two batches")
	f.IntVar(&b.maxFailures, "max-failures", 0, "with --batch: stop when more servers than this have failed, refused or not answered")
	byHandAlone(cmd, "batch", "batch-sleep", "max-failures")
}

func (b *batchFlags) check() error {
	if _, err := count("batch", b.size, 1); err != nil {
		return err
	}
	switch {
	case b.size == "" && (b.sleep != 0 || b.maxFailures != 0):
		return usageError("--batch-sleep and --max-failures are for --batch")
	case b.sleep < 0:
		return usageError("--batch-sleep %s: a duration such as 10s", b.sleep)
	case b.maxFailures < 0:
		return usageError("--max-failures %d: a number of servers", b.maxFailures)
	}
	return nil
}

// rollOut acts on the members batch by batch, and stops when too many fail.
func (a *app) rollOut(ctx context.Context, bus *event.Bus, act *acting, e event.Event, members []event.Member) error {
	size, err := count("batch", act.batch.size, len(members))
	if err != nil {
		return err
	}
	r := &rollOut{app: a, bus: bus, act: act, event: e}
	for batch := range slices.Chunk(members, size) {
		if r.batches > 0 && !r.sleep(ctx) {
			break
		}
		if err := r.next(ctx, batch, len(members)); err != nil && ctx.Err() == nil {
			return err
		}
		if ctx.Err() != nil || r.failures() > act.batch.maxFailures {
			break
		}
	}
	return r.conclude(ctx, members[r.sum.Matched:])
}

// rollOut is one under way.
type rollOut struct {
	app     *app
	bus     *event.Bus
	act     *acting
	event   event.Event
	batches int
	sum     event.Summary // of all batches
	finals  []event.Reply
}

func (r *rollOut) sleep(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(r.act.batch.sleep):
		return true
	}
}

// next acts on one batch: an event of its own, for just those servers.
func (r *rollOut) next(ctx context.Context, batch []event.Member, all int) error {
	r.batches++
	target := r.event.Target
	target.ServerIDs = idsOf(batch)
	e := event.New(r.event.Name, r.event.Action, r.event.Parameters, event.To(target), event.Secret(r.event.Secret...))
	r.app.say("batch %d: %s, %d of %d\n", r.batches, output.Plural(len(batch), "server"), r.sum.Matched+len(batch), all)
	sum, finals, err := r.app.await(ctx, r.bus, r.act, e, r.app.shower(r.act, e))
	r.finals = append(r.finals, finals...)
	r.add(sum, batch)
	return err
}

// add counts a batch. A server that has gone since the fleet was read counts as
// matched and missing: it was meant.
func (r *rollOut) add(sum event.Summary, batch []event.Member) {
	s := &r.sum
	s.EventID = sum.EventID
	s.Matched += len(batch)
	s.Missing += sum.Missing + len(batch) - sum.Matched
	s.Acked += sum.Acked
	s.Done += sum.Done
	s.Failed += sum.Failed
	s.Refused += sum.Refused
	s.Deaf += sum.Deaf
	s.Gone += sum.Gone + len(batch) - sum.Matched
	s.Extra += sum.Extra
	s.Duration += sum.Duration
	s.Servers = append(s.Servers, sum.Servers...)
	for _, m := range batch {
		if !slices.ContainsFunc(sum.Servers, func(o event.Outcome) bool { return o.ServerID == m.ServerID }) {
			s.Servers = append(s.Servers, event.Outcome{ServerID: m.ServerID, Server: m.Name, Expected: true, Gone: true})
		}
	}
}

// failures is how many servers have failed, refused or not answered.
func (r *rollOut) failures() int { return r.failed() + r.sum.Missing }

func (r *rollOut) failed() int {
	failed := r.sum.Failed + r.sum.Refused
	if r.act.own.failures != nil {
		failed += r.act.own.failures(r.finals)
	}
	return failed
}

// conclude prints the summary of all batches.
func (r *rollOut) conclude(ctx context.Context, untouched []event.Member) error {
	a := r.app
	out := output.ToCall(r.event, r.sum, r.finals)
	out.Batches = r.batches
	for _, m := range untouched {
		out.UntouchedServers = append(out.UntouchedServers, m.Name)
	}
	if err := a.report(r.act, r.event, r.sum, r.finals, out); err != nil {
		return err
	}
	if len(untouched) > 0 {
		a.say("stopped after batch %d, %s had no part in it: %s\n", r.batches, output.Plural(len(untouched), "server"), out.UntouchedServers)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case len(untouched) > 0 && r.failed() == 0:
		return &codeError{code: exitIncomplete}
	}
	return r.act.outcome(r.sum, r.finals)
}
