package cli

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

// progressLines is how many servers are shown at a time that have not answered.
const progressLines = 12

// progress shows on a terminal, below what has been printed, who has not answered
// yet. Elsewhere it prints only. A goroutine, started by begin and joined by end,
// lets the time go on; mu guards the terminal.
type progress struct {
	app   *app
	width int // 0 unless on a terminal

	mu      sync.Mutex
	start   time.Time
	servers []string // in the order in which they were expected
	acked   map[string]bool
	over    map[string]bool
	away    map[string]bool // gone, until something comes of them
	drawn   int             // lines

	stop   chan struct{}
	ticker sync.WaitGroup
}

func (a *app) newProgress() *progress {
	p := &progress{app: a, acked: map[string]bool{}, over: map[string]bool{}, away: map[string]bool{}, stop: make(chan struct{})}
	if dumb, _ := a.Env("TERM"); a.output != "text" || dumb == "dumb" || !isTerminal(a.Stdout) {
		return p
	}
	if f, ok := a.Stdout.(*os.File); ok {
		p.width, _, _ = term.GetSize(int(f.Fd()))
	}
	return p
}

// begin shows the servers that are expected to answer.
func (p *progress) begin(expected []event.Member) {
	p.start = time.Now()
	for _, m := range expected {
		p.servers = append(p.servers, m.Name)
	}
	if p.width == 0 {
		return
	}
	p.ticker.Go(func() {
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			p.print(func() {})
			select {
			case <-p.stop:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
}

// end leaves what has been printed.
func (p *progress) end() {
	close(p.stop)
	p.ticker.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

// reply notes what is known of its server.
func (p *progress) reply(r event.Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked[r.Server], p.away[r.Server] = true, false
	if r.Kind.Final() {
		p.over[r.Server] = true
	}
}

// gone notes that a server is not waited for.
func (p *progress) gone(o event.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away[o.Server] = true
}

// print calls what prints whole lines.
func (p *progress) print(lines func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	lines()
	p.draw()
}

func (p *progress) erase() {
	if p.drawn > 0 {
		p.app.printf("\x1b[%dA\x1b[J", p.drawn)
	}
	p.drawn = 0
}

func (p *progress) draw() {
	if p.width == 0 {
		return
	}
	more := 0
	for _, server := range p.servers {
		switch {
		case p.over[server]:
		case p.drawn == progressLines:
			more++
		default:
			p.line("%-24s %-8s %s", server, p.state(server), time.Since(p.start).Round(time.Second/10))
		}
	}
	if more > 0 {
		p.line("and %s more", output.Plural(more, "server"))
	}
}

func (p *progress) state(server string) string {
	switch {
	case p.away[server]:
		return "gone"
	case p.acked[server]:
		return "at it"
	}
	return "waiting"
}

// line writes one that does not wrap: it must be erased later.
func (p *progress) line(format string, args ...any) {
	text := []rune(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	p.app.printf("%s\n", string(text[:min(len(text), p.width-1)]))
	p.drawn++
}
