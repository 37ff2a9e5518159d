package cli

import (
	"context"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/subscribers"
)

// listEffective asks servers for the settings that are in force there.
func (a *app) listEffective(ctx context.Context, prefix string, scopes *scopeFlags, wait time.Duration) error {
	target, err := scopes.target()
	if err != nil {
		return err
	}
	s, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	act := &acting{targetFlags: &targetFlags{}, wait: wait}
	act.call = func(ctx context.Context, bus *event.Bus, e event.Event) error {
		sum, finals, err := a.await(ctx, bus, act, e, func(event.Reply) {})
		if err != nil && ctx.Err() == nil {
			return err
		}
		slices.SortFunc(finals, func(x, y event.Reply) int { return strings.Compare(x.Server, y.Server) })
		if err := a.printEffective(finals, prefix); err != nil {
			return err
		}
		a.sayMissing(sum)
		a.say("%s\n", output.SummaryLine(e, sum))
		return a.ended(ctx, act, e, sum)
	}
	return a.actOn(ctx, s, act, event.New("config", "list", nil, event.To(target)))
}

func (a *app) printEffective(finals []event.Reply, prefix string) error {
	out := []output.Effective{}
	for _, r := range finals {
		var list subscribers.SettingList[[]config.Value]
		if r.Kind != event.Done || r.Result(&list) != nil {
			a.say("%-24s %-8s %s\n", r.Server, r.Kind, r.Error)
			continue
		}
		for _, v := range list.Settings {
			if under(v.Path, prefix) {
				out = append(out, output.ToEffective(r, v))
			}
		}
	}
	if a.output != "text" {
		return printAll(a, out)
	}
	if len(out) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fprintf(w, "SERVER\tPATH\tVALUE\tFROM\n")
	for _, v := range out {
		fprintf(w, "%s\t%s\t%s\t%s\n", v.Server, v.Path, output.Cell(v.Value), v.FromWords())
	}
	return w.Flush()
}

// target takes the flags for those of a target.
func (s *scopeFlags) target() (event.Target, error) {
	t := targetFlags{}
	if s.server != "" {
		t.names = []string{s.server}
	}
	if s.label != "" {
		t.labels = []string{s.label}
	}
	return t.target()
}

// sayMissing names the servers without an answer.
func (a *app) sayMissing(sum event.Summary) {
	for _, o := range sum.Servers {
		if o.Expected && o.Reply == nil {
			a.say("%-24s missing  its settings are not in the list\n", o.Server)
		}
	}
}
