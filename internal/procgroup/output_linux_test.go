package procgroup

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// taken is what Run has handed over.
type taken struct {
	mu     sync.Mutex
	chunks []string // of both streams
}

func (o *taken) take(_ context.Context, _ string, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.chunks = append(o.chunks, string(data))
	return nil
}

func (o *taken) String() string { return strings.Join(o.chunks, "") }

// shortly shortens what Run waits for after the end of a command.
func shortly(t *testing.T) {
	lingerBefore, settleBefore := linger, settle
	linger, settle = 50*time.Millisecond, 500*time.Millisecond
	t.Cleanup(func() { linger, settle = lingerBefore, settleBefore })
}

// script is a shell's, whose process and output it prints first.
func script(text string, take func(context.Context, string, []byte) error) Command {
	return Command{Words: []string{shell, "-c", "echo $$; " + text}, MaxOutput: 1 << 30, Output: take}
}

// daemon is a line of a script that starts a program which leaves the script's group,
// and prints its number on stderr; the script goes on when it has left.
func daemon(t *testing.T, program string) string {
	fifo := filepath.Join(t.TempDir(), "left")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	return fmt.Sprintf("setsid %s -c 'echo $$ >&2; echo >%s; exec %s' & read left <%s; ", shell, fifo, program, fifo)
}

// killDaemon kills it by what it has printed. It lives, unless the end of the pipe
// has ended it.
func killDaemon(t *testing.T, printed string, lives bool) {
	pid, err := strconv.Atoi(strings.TrimSpace(printed))
	require.NoError(t, err)
	if err := syscall.Kill(pid, syscall.SIGKILL); lives {
		require.NoError(t, err)
	}
}

// whenEnded returns when the process whose number is the first line has ended, and
// Run has waited for more output for long enough.
func whenEnded(t *testing.T, firstLine string) {
	pid := strings.TrimSpace(firstLine)
	_, err := strconv.Atoi(pid)
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := os.Stat("/proc/" + pid); return err != nil }, time.Minute, time.Millisecond)
	<-time.After(4 * linger)
}

// TestLastOutputIsNotLost: storing takes longer than the command, and than what is
// waited for output after its end.
func TestLastOutputIsNotLost(t *testing.T) {
	shortly(t)
	for name, background := range map[string]string{"it is all": "", "a daemon has the pipe": daemon(t, "sleep 600")} {
		t.Run(name, func(t *testing.T) {
			got := &taken{}
			var said string
			first := true
			r, err := Run(t.Context(), script(background+"head -c 60000 /dev/zero", func(ctx context.Context, stream string, data []byte) error {
				if stream == "stderr" {
					said = string(data)
					return nil
				}
				if first {
					first = false
					whenEnded(t, string(data[:bytes.IndexByte(data, '\n')]))
				}
				return got.take(ctx, stream, data)
			}))
			require.NoError(t, err)
			if background != "" {
				killDaemon(t, said, true)
			}
			require.Zero(t, r.Dropped)
			require.Equal(t, 60_000, strings.Count(got.String(), "\x00"))
			require.EqualValues(t, len(got.String())+len(said), r.Printed)
		})
	}
}

// TestOutputThatNobodyTakesIsCounted: the wait for a store has an end.
func TestOutputThatNobodyTakesIsCounted(t *testing.T) {
	shortly(t)
	r, err := Run(t.Context(), script("head -c 60000 /dev/zero", func(ctx context.Context, _ string, _ []byte) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}))
	require.NoError(t, err)
	require.Zero(t, r.ExitCode)
	require.Greater(t, r.Dropped, int64(60_000))
	require.Equal(t, r.Printed, r.Dropped)
}

// TestDaemonThatFloodsThePipe does not hold Run.
func TestDaemonThatFloodsThePipe(t *testing.T) {
	shortly(t)
	said := make(chan string, 1)
	_, err := Run(t.Context(), script(daemon(t, "yes"), func(_ context.Context, stream string, data []byte) error {
		if stream == "stderr" {
			said <- string(data)
		}
		<-time.After(10 * time.Millisecond) // so that the pipe is never empty
		return nil
	}))
	require.NoError(t, err)
	killDaemon(t, <-said, false)
}

func TestCharactersAreNotCut(t *testing.T) {
	text := strings.Repeat("a€😀ß", 20_000) // whose characters are at all distances from a chunk's end
	file := t.TempDir() + "/text"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	got := &taken{}
	_, err := Run(t.Context(), Command{Words: []string{"cat", file}, MaxOutput: 1 << 30, Output: got.take})
	require.NoError(t, err)
	require.Equal(t, text, got.String())
	require.Greater(t, len(got.chunks), 2)
	for _, chunk := range got.chunks {
		require.True(t, utf8.ValidString(chunk), "% x", chunk[max(0, len(chunk)-4):])
	}
}

// TestCharacterInPieces: a program may print its bytes one by one.
func TestCharacterInPieces(t *testing.T) {
	for name, test := range map[string]struct{ prints, want string }{
		"whole":         {`\342 \202 \254 x`, "€x"},
		"two":           {`\342 \202 \254\303 \237`, "€ß"},
		"left unended":  {`a\342 \202`, "a\xe2\x82"},
		"none at all":   {`\377 \376 \303`, "\xff\xfe\xc3"},
		"ended wrongly": {`\342 a`, "\xe2a"},
	} {
		t.Run(name, func(t *testing.T) {
			got := &taken{}
			text := "for piece in '" + strings.Join(strings.Fields(test.prints), "' '") + "'; do printf $piece; sleep 0.01; done"
			r, err := Run(t.Context(), Command{Words: []string{shell, "-c", text}, MaxOutput: 1 << 20, Output: got.take})
			require.NoError(t, err)
			require.Equal(t, test.want, got.String())
			require.EqualValues(t, len(test.want), r.Printed)
			if utf8.ValidString(test.want) {
				for _, chunk := range got.chunks {
					require.True(t, utf8.ValidString(chunk))
				}
			}
		})
	}
}

func TestFitting(t *testing.T) {
	for _, test := range []struct {
		data string
		most int64
		want int
	}{
		{"abc", 5, 3}, {"abc", 3, 3}, {"abc", 2, 2}, {"abc", 0, 0},
		{"a€b", 1, 1}, {"a€b", 2, 1}, {"a€b", 3, 1}, {"a€b", 4, 4}, {"😀", 3, 0},
		{"\xe2a", 1, 1}, {"\xff\xff", 1, 1}, {"\x80\x80\x80\x80\x80", 4, 4}, // no characters: cut anywhere
	} {
		require.Equal(t, test.want, fitting([]byte(test.data), test.most), "%q %d", test.data, test.most)
	}
}
