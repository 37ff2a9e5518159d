//go:build unix

package procgroup

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// silent returns a watch of ten seconds, and when it has run out.
func silent() (s *silence, killed func() time.Duration) {
	start := time.Now()
	var after atomic.Int64
	s = newSilence(10*time.Second, func() { after.Store(int64(time.Since(start))) })
	return s, func() time.Duration { return time.Duration(after.Load()) }
}

func TestSilence(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(s *silence)
		want time.Duration // 0 for never
	}{
		"from the start": {func(*silence) {}, 10 * time.Second},
		"after something": {func(s *silence) {
			time.Sleep(9 * time.Second)
			s.interrupt()()
		}, 19 * time.Second},
		"not while something is handed over": {func(s *silence) {
			resume := s.interrupt()
			time.Sleep(time.Hour)
			resume()
		}, time.Hour + 10*time.Second},
		"not while one of two streams waits": {func(s *silence) {
			resume := s.interrupt()
			s.interrupt()() // the other is quick
			time.Sleep(time.Hour)
			resume()
		}, time.Hour + 10*time.Second},
		"not after the command's end": {func(s *silence) { s.end() }, 0},
		"not after the command's end, which what it printed outlasts": {func(s *silence) {
			resume := s.interrupt()
			s.end()
			resume()
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, killed := silent()
				test.do(s)
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				require.Equal(t, test.want, killed())
			})
		})
	}
}

// TestSilenceEndsAtTheLastMoment: what comes when the time has run out, before the
// command is killed, saves it.
func TestSilenceEndsAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, killed := silent()
		time.Sleep(time.Second)
		s.interrupt()()
		s.elapsed() // of the timer before that
		synctest.Wait()
		require.Zero(t, killed())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 11*time.Second, killed())
	})
}

// TestSlowStoreIsNoSilence: while what it has printed waits to be stored, a command
// is not silent, whatever its other stream does.
func TestSlowStoreIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, killed := silent()
		o := &output{most: 100, silence: s, take: func(_ context.Context, stream string, _ []byte) error {
			if stream == "stdout" {
				time.Sleep(time.Hour)
			}
			return nil
		}}
		streams := map[string]*chunks{}
		for _, name := range []string{"stdout", "stderr"} {
			streams[name] = &chunks{output: o, stream: name, buf: []byte("x")}
			go streams[name].hand(1)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Equal(t, time.Hour+10*time.Second, killed())
	})
}
