//go:build unix

package process

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	maxLine = 32 << 10 // longer lines come in pieces
	maxDump = 1 << 20  // what a tap keeps

	// After the end of a program its pipes end too, unless a daemon of its has
	// them: then they are read until nothing comes for lingerTime, and no more
	// than lingerBytes, which is what a pipe can hold at most.
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// output is what one program prints. Its two goroutines are started by log and
// joined by finish.
type output struct {
	stdout, stderr *stream
	read           chan struct{} // closed when all has been read

	mu   sync.Mutex
	taps map[*tap]struct{}
}

// tap collects a part of the output.
type tap struct {
	text      strings.Builder
	truncated bool
}

func newOutput() (*output, error) {
	stdout, err := newStream("stdout")
	if err != nil {
		return nil, err
	}
	stderr, err := newStream("stderr")
	if err != nil {
		stdout.close()
		return nil, err
	}
	return &output{stdout: stdout, stderr: stderr, read: make(chan struct{}), taps: map[*tap]struct{}{}}, nil
}

// started closes the ends that are the program's now.
func (o *output) started() {
	o.stdout.theirs.Close()
	o.stderr.theirs.Close()
}

func (o *output) close() {
	o.stdout.close()
	o.stderr.close()
}

// log begins to read.
func (o *output) log(log *zerolog.Logger) {
	var all sync.WaitGroup
	for _, s := range []*stream{o.stdout, o.stderr} {
		to := log.With().Str(fieldStream, s.name).Logger()
		all.Go(func() { s.lines(func(line string) { o.line(&to, line) }) })
	}
	go func() { all.Wait(); close(o.read) }()
}

// finish reads what is left after the end of the program.
func (o *output) finish() {
	o.stdout.end()
	o.stderr.end()
	<-o.read
	o.close()
}

func (o *output) line(log *zerolog.Logger, line string) {
	log.Info().Msg(line)
	o.mu.Lock()
	defer o.mu.Unlock()
	for t := range o.taps {
		t.add(line)
	}
}

func (t *tap) add(line string) {
	switch {
	case t.truncated:
	case t.text.Len()+len(line) >= maxDump:
		t.truncated = true
		t.text.WriteString("… (there is more in the log)\n")
	default:
		t.text.WriteString(line)
		t.text.WriteByte('\n')
	}
}

func (o *output) tap() *tap {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := &tap{}
	o.taps[t] = struct{}{}
	return t
}

func (o *output) untap(t *tap) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.taps, t)
}

func (o *output) tapped(t *tap) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return t.text.String()
}

// stream is a pipe that a program writes to.
type stream struct {
	name         string
	ours, theirs *os.File

	ended atomic.Bool
	rest  int // how many bytes may yet come after the end; its reader's alone
}

func newStream(name string) (*stream, error) {
	ours, theirs, err := os.Pipe()
	return &stream{name: name, ours: ours, theirs: theirs, rest: lingerBytes}, err
}

func (s *stream) close() {
	s.ours.Close()
	s.theirs.Close()
}

// end says that the program has ended.
func (s *stream) end() {
	s.ended.Store(true)
	_ = s.ours.SetReadDeadline(time.Now().Add(lingerTime)) // for a Read that waits already
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if !s.ended.Load() {
		return s.ours.Read(p)
	}
	_ = s.ours.SetReadDeadline(time.Now().Add(lingerTime))
	n, err := s.ours.Read(p)
	if s.rest -= n; s.rest < 0 && err == nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// lines calls f with each line, and returns at the end of the pipe.
func (s *stream) lines(f func(string)) {
	reader := bufio.NewReaderSize(s, maxLine)
	for {
		piece, err := reader.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if len(piece) > 0 {
			f(clean(piece))
		}
		if err != nil && !full {
			return
		}
	}
}

// clean returns the text of a line.
func clean(line []byte) string {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	return strings.ToValidUTF8(string(line), "\uFFFD")
}
