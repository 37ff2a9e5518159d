package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

type pingFlags struct {
	*targetFlags
	count    int
	interval time.Duration
	wait     time.Duration
}

func (a *app) pingCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ping", Args: noArgs,
		Short: "Measure the round trip to every server and back",
		Long: `Publish events that servers answer at once, and show how long that takes: from
publishing to the answer being here. A round lasts until all have answered, or
--wait is over.`,
	}
	f := &pingFlags{targetFlags: a.addServerFilters(cmd)}
	cmd.Flags().IntVar(&f.count, "count", 10, "how many times")
	cmd.Flags().DurationVar(&f.interval, "interval", 100*time.Millisecond, "the time between two rounds")
	cmd.Flags().DurationVar(&f.wait, "wait", 2*time.Second, "how long to wait for the answers of a round")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.ping(cmd.Context(), f) }
	return cmd
}

type pingOutput struct {
	ServerID string  `json:"server_id"` // empty for the whole fleet
	Server   string  `json:"server"`
	Sent     int     `json:"sent"`
	Answered int     `json:"answered"`
	MinMS    float64 `json:"min_ms"`
	MedianMS float64 `json:"median_ms"`
	P99MS    float64 `json:"p99_ms"`
	MaxMS    float64 `json:"max_ms"`
}

func (a *app) ping(ctx context.Context, f *pingFlags) error {
	if f.count < 1 || f.wait <= 0 || f.interval < 0 {
		return usageError("--count, --wait and --interval: at least once, and positive durations")
	}
	target, err := f.target()
	if err != nil {
		return err
	}
	s, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	bus, err := s.openBus(ctx)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx) // so that the answers of all rounds are read by one tail
	var listening sync.WaitGroup
	listening.Go(func() { _ = bus.Run(running) })
	defer func() { stop(); listening.Wait() }()

	p := &pings{servers: map[bson.ObjectID]*pinged{}}
	for range f.count {
		e := event.New("server", "ping", nil, event.To(target))
		sum, err := bus.CallFunc(ctx, e, event.Callbacks{}, event.Wait(f.wait))
		if err != nil && ctx.Err() == nil {
			return err
		}
		if sum.Matched == 0 && ctx.Err() == nil {
			return a.nothingMatched(ctx, s, e)
		}
		p.add(sum)
		select {
		case <-ctx.Done():
			return a.printPings(p)
		case <-time.After(f.interval):
		}
	}
	return a.printPings(p)
}

// pings are the round trips by server.
type pings struct{ servers map[bson.ObjectID]*pinged }

type pinged struct {
	name string
	sent int
	took []time.Duration
}

func (p *pings) add(sum event.Summary) {
	for _, o := range sum.Servers {
		if !o.Expected {
			continue
		}
		s := p.servers[o.ServerID]
		if s == nil {
			s = &pinged{name: o.Server}
			p.servers[o.ServerID] = s
		}
		s.sent++
		if o.Reply != nil {
			s.took = append(s.took, o.Took)
		}
	}
}

// table is one row for each server, by name, and one for the fleet.
func (p *pings) table() (rows []pingOutput) {
	all := &pinged{name: "all"}
	for id, s := range p.servers {
		all.sent += s.sent
		all.took = append(all.took, s.took...)
		rows = append(rows, s.row(id.Hex()))
	}
	slices.SortFunc(rows, func(x, y pingOutput) int { return strings.Compare(x.Server, y.Server) })
	return append(rows, all.row(""))
}

func (s *pinged) row(id string) pingOutput {
	out := pingOutput{ServerID: id, Server: s.name, Sent: s.sent, Answered: len(s.took)}
	if len(s.took) == 0 {
		return out
	}
	slices.Sort(s.took)
	at := func(q int) float64 { return float64(s.took[(len(s.took)-1)*q/100].Microseconds()) / 1000 }
	out.MinMS, out.MedianMS, out.P99MS, out.MaxMS = at(0), at(50), at(99), at(100)
	return out
}

func (a *app) printPings(p *pings) error {
	rows := p.table()
	if a.output != "text" {
		if err := printAll(a, rows); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fprintf(w, "SERVER\tSENT\tANSWERED\tMIN ms\tMEDIAN ms\tP99 ms\tMAX ms\t\n")
		for _, r := range rows {
			fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t\n", r.Server, r.Sent, r.Answered, ms(r, r.MinMS), ms(r, r.MedianMS), ms(r, r.P99MS), ms(r, r.MaxMS))
		}
		_ = w.Flush()
	}
	if all := rows[len(rows)-1]; all.Answered < all.Sent {
		return &codeError{code: exitIncomplete}
	}
	return nil
}

func ms(r pingOutput, value float64) string {
	if r.Answered == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", value)
}
