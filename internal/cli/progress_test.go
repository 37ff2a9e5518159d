package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
)

// screen is a terminal that knows the two sequences progress uses.
type screen struct {
	bytes.Buffer
	lines []string
}

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	var up int
	if n, _ := fmt.Sscanf(text, "\x1b[%dA\x1b[J", &up); n == 1 {
		s.lines = s.lines[:len(s.lines)-up]
		_, text, _ = strings.Cut(text, "J")
	}
	for line := range strings.Lines(text) {
		s.lines = append(s.lines, strings.TrimSuffix(line, "\n"))
	}
	return len(p), nil
}

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out screen
		a := &app{Process: Process{Stdout: &out, Env: func(string) (string, bool) { return "", false }}, output: "text"}
		p := a.newProgress()
		require.Zero(t, p.width, "not a terminal")
		p.width = 50
		var members []event.Member
		for i := range 14 {
			members = append(members, event.Member{Name: fmt.Sprintf("web-%02d", i)})
		}
		members[1].Name = strings.Repeat("long", 20)
		p.begin(members)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, out.lines, progressLines+1)
		require.Equal(t, "web-00                   waiting  1s", out.lines[0])
		require.Len(t, out.lines[1], 49, "it would wrap")
		require.Equal(t, "and 2 servers more", out.lines[12])

		p.reply(event.Reply{Server: "web-02", Kind: event.Ack})
		for _, m := range members[:2] {
			p.reply(event.Reply{Server: m.Name, Kind: event.Done})
		}
		p.print(func() { a.printf("web-00 done\n") })
		require.Equal(t, "web-00 done", out.lines[0])
		require.Equal(t, "web-02                   at it    1s", out.lines[1])
		require.Len(t, out.lines, 13)

		p.gone(event.Outcome{Server: "web-03"})
		p.print(func() {})
		require.Equal(t, "web-03                   gone     1s", out.lines[2])
		p.reply(event.Reply{Server: "web-03", Kind: event.Output})
		p.print(func() {})
		require.Equal(t, "web-03                   at it    1s", out.lines[2])

		p.end()
		require.Equal(t, []string{"web-00 done"}, out.lines)
	})
}
