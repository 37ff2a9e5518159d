package output

import (
	"encoding/json"

	"github.com/fleetcast/fleetcast/event"
)

// ToCall returns how a call went, with the final answers.
func ToCall(e event.Event, sum event.Summary, finals []event.Reply) Call {
	out := Call{
		EventID: sum.EventID.Hex(), Subscriber: e.Name, Action: e.Action,
		Matched: sum.Matched, Acked: sum.Acked, Done: sum.Done, Failed: sum.Failed, Refused: sum.Refused,
		Missing: sum.Missing, Deaf: sum.Deaf, Gone: sum.Gone, Extra: sum.Extra,
		DurationMS: float64(sum.Duration.Microseconds()) / 1000,
		Minimum:    sum.Minimum, Short: sum.Short(),
		Replies: []Reply{}, MissingServers: []string{},
	}
	for _, r := range finals {
		out.Replies = append(out.Replies, ToReply(r))
	}
	for _, o := range sum.Servers {
		if o.Expected && o.Reply == nil {
			out.MissingServers = append(out.MissingServers, o.Server)
		}
		if o.Lost > 0 {
			if out.LostReplies == nil {
				out.LostReplies = map[string]int{}
			}
			out.LostReplies[o.Server] = o.Lost
		}
	}
	return out
}

// Call is the outcome of a call, as acting commands print it.
type Call struct {
	EventID    string  `json:"event_id"`
	Subscriber string  `json:"subscriber"`
	Action     string  `json:"action"`
	Matched    int     `json:"matched"`
	Acked      int     `json:"acked"`
	Done       int     `json:"done"`
	Failed     int     `json:"failed"`
	Refused    int     `json:"refused"`
	Missing    int     `json:"missing"`
	Deaf       int     `json:"deaf"`
	Gone       int     `json:"gone"`                  // missing, and lost or not in the registry any more
	Extra      int     `json:"extra"`                 // answered without being expected
	Minimum    int     `json:"min_servers,omitempty"` // of --min-servers
	Short      int     `json:"short,omitempty"`       // how many answers there are fewer
	DurationMS float64 `json:"duration_ms"`
	Replies    []Reply `json:"replies"`
	// MissingServers are the names of those that should have answered.
	MissingServers []string `json:"missing_servers"`
	// LostReplies is how many replies of a server, such as parts of its output, should
	// have come before its final one, and have not.
	LostReplies map[string]int `json:"lost_replies,omitempty"`
	// Batches and UntouchedServers are of --batch: how many were tried, and the names
	// of those that were not reached because too many before them had failed.
	Batches          int      `json:"batches,omitempty"`
	UntouchedServers []string `json:"untouched_servers,omitempty"`
}

// Reply is an answer.
type Reply struct {
	ServerID   string          `json:"server_id"`
	Server     string          `json:"server"`
	WorkerID   int             `json:"worker_id,omitempty"`
	Kind       event.ReplyKind `json:"kind"`
	Payload    json.RawMessage `json:"payload"`
	Error      string          `json:"error,omitempty"`
	DurationMS float64         `json:"duration_ms"`
	Truncated  bool            `json:"truncated,omitempty"`
}

// Match is who would be reached, of a dry run.
type Match struct {
	Subscriber string   `json:"subscriber"`
	Action     string   `json:"action"`
	DryRun     bool     `json:"dry_run"`
	Matched    int      `json:"matched"`
	Servers    []Member `json:"servers"`
}

// Member is a server that is meant.
type Member struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Host string `json:"host"`
	PID  int    `json:"pid"`
	Deaf bool   `json:"deaf"`
}

// Published is an event that nobody waits for.
type Published struct {
	EventID    string `json:"event_id"`
	Subscriber string `json:"subscriber"`
	Action     string `json:"action"`
	Matched    int    `json:"matched"`
}

// ToReply returns an answer with its payload as JSON.
func ToReply(r event.Reply) Reply {
	return Reply{
		ServerID: r.ServerID.Hex(), Server: r.Server, WorkerID: r.WorkerID, Kind: r.Kind,
		Payload: JSON(r.Payload), Error: r.Error, DurationMS: r.DurationMS, Truncated: r.Truncated,
	}
}
