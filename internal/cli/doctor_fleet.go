package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

const (
	slowBeat   = time.Second     // to write it
	slowListen = 3 * time.Second // behind; a server is deaf after 15 s
)

// examineFleet looks at what servers say of themselves.
func (d *doctor) examineFleet(entries []server.Entry) {
	if len(entries) == 0 {
		d.warn("servers", "start one: fleetcast server, or a program with server.Open", "none is in the registry of database %s", d.db.Name())
		return
	}
	states := map[string]int{}
	for _, e := range entries {
		states[e.State()]++
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(states)) {
		parts = append(parts, fmt.Sprintf("%d %s", states[state], state))
	}
	d.ok("servers", "%s: %s", output.Plural(len(entries), "server"), strings.Join(parts, ", "))
	for _, ill := range illnesses {
		var who []string
		for _, e := range entries {
			if what := ill.of(e); what != "" {
				who = append(who, e.Name+what)
			}
		}
		if len(who) > 0 {
			d.findings = append(d.findings, findingOutput{"servers", ill.status, ill.name + ": " + some(who), ill.advice})
		}
	}
	d.examineVersions(entries)
}

// illness is what a server may have. of is empty for those that do not, else it says
// how bad it is.
type illness struct {
	name   string
	status verdict
	of     func(server.Entry) string
	advice string
}

var illnesses = []illness{
	{"lost", isWarning, func(e server.Entry) string {
		return when(e.Lost(), " for %s", output.Short(e.Age))
	}, "it was killed, or cannot reach the database: see its log; `fleetcast servers purge` removes it here"},
	{"deaf", isBroken, func(e server.Entry) string {
		return when(e.Deaf(), " for %s%s", output.Short(lag(e)), because(e.Heartbeat.LastError))
	}, "it works but does not hear events: see its log; to restart it is safe"},
	{"slow to hear", isWarning, func(e server.Entry) string {
		return when(!e.Lost() && !e.Deaf() && lag(e) > slowListen, " by %s", output.Short(lag(e)))
	}, "its process or the database is overloaded"},
	{"slow to write its heartbeat", isWarning, func(e server.Entry) string {
		rtt := time.Duration(e.Heartbeat.RTTMS * float64(time.Millisecond))
		return when(!e.Lost() && rtt > slowBeat, " by %s", output.Short(rtt))
	}, "the database or the way to it is overloaded: after four beats a server is taken for lost"},
	{"missed events since the start", isWarning, func(e server.Entry) string {
		return when(!e.Lost() && e.Heartbeat.Gaps > 0, ", %s", output.Plural(int(e.Heartbeat.Gaps), "gap"))
	}, "they have come to the desired state, anything else of that time they have not done: see docs/operations.md"},
	{"workers that are stuck", isWarning, func(e server.Entry) string {
		var stuck []string
		for _, w := range e.Heartbeat.Workers {
			if w.Stuck {
				stuck = append(stuck, fmt.Sprint(w.ID))
			}
		}
		return when(!e.Lost() && len(stuck) > 0, " worker %s", strings.Join(stuck, "+"))
	}, "see what they do: fleetcast thread-dump --server NAME --worker-id N"},
}

func lag(e server.Entry) time.Duration { return time.Duration(e.Heartbeat.LagMS) * time.Millisecond }

func when(is bool, format string, args ...any) string {
	if !is {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func because(cause string) string { return when(cause != "", " (%s)", cause) }

// examineVersions warns of a fleet that is half rolled out.
func (d *doctor) examineVersions(entries []server.Entry) {
	versions := map[string]int{}
	for _, e := range entries {
		if !e.Lost() {
			versions[e.Version]++
		}
	}
	var parts []string
	for _, version := range slices.Sorted(maps.Keys(versions)) {
		parts = append(parts, fmt.Sprintf("%s on %d", version, versions[version]))
	}
	switch len(parts) {
	case 0:
	case 1:
		d.ok("versions", "%s", parts[0])
	default:
		d.warn("versions", "fine while new ones are rolled out; servers may know different actions and settings", "%s", strings.Join(parts, ", "))
	}
}

// examineAnswers lets every server answer.
func (d *doctor) examineAnswers(ctx context.Context) {
	bus, err := d.openBus(ctx)
	if err != nil {
		d.broken("answers", "see the error", "%v", err)
		return
	}
	sum, err := bus.CallFunc(ctx, event.New("server", "ping", nil), event.Callbacks{}, event.Wait(5*time.Second))
	if err != nil {
		d.broken("answers", "see the error", "%v", err)
		return
	}
	var silent []string
	slowest := time.Duration(0)
	for _, o := range sum.Servers {
		if o.Expected && o.Reply == nil {
			silent = append(silent, o.Server)
		}
		slowest = max(slowest, o.Took)
	}
	if len(silent) > 0 {
		d.broken("answers", "they beat but do not answer: see their logs, and fleetcast thread-dump --process once they do",
			"%d of %d servers have not answered a ping within 5s: %s", len(silent), sum.Matched, some(silent))
		return
	}
	d.ok("answers", "%s answered a ping, the slowest in %s", output.Plural(sum.Matched, "server"), output.Short(slowest))
}
