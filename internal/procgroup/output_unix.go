//go:build unix

package procgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"
)

const (
	// chunk is the most that is handed over at a time; slow takers get larger chunks
	// than quick ones, since the pipe fills meanwhile.
	chunk = 32 << 10
	// largestPipe is more than a pipe holds, unless root has changed that.
	largestPipe = 1 << 20
)

var (
	// linger is how long the output is read on after the end of the command: a
	// daemon that has left its group may still have the pipe.
	linger = time.Second
	// settle is how long what has been read may take to be handed over after the
	// end of the command; what is left then is counted as dropped.
	settle = 30 * time.Second
)

// output hands over what a command prints. Each of its two streams is read by a
// goroutine of its own, which start starts and finish joins.
type output struct {
	take    func(ctx context.Context, stream string, data []byte) error
	most    int64
	silence *silence // interrupted while something is handed over

	ctx     context.Context // of take
	cancel  context.CancelCauseFunc
	pipes   []*os.File
	reading sync.WaitGroup

	printed, dropped atomic.Int64
}

func (o *output) start(ctx context.Context, stdout, stderr *os.File) {
	o.ctx, o.cancel = context.WithCancelCause(ctx)
	o.pipes = []*os.File{stdout, stderr}
	o.reading.Go(func() { o.read("stdout", stdout) })
	o.reading.Go(func() { o.read("stderr", stderr) })
}

// finish returns when all that the command has printed before its end has been handed
// over, or counted.
func (o *output) finish() {
	for _, pipe := range o.pipes {
		_ = pipe.SetReadDeadline(time.Now().Add(linger))
	}
	late := time.AfterFunc(settle, func() {
		o.cancel(fmt.Errorf("the output was not taken within %s of the command's end", settle))
	})
	defer late.Stop()
	o.reading.Wait()
	o.cancel(nil)
}

// read hands over what comes out of a pipe. When linger is over, all that the command
// itself has printed is at least in the pipe: that is taken, too, however long the
// earlier output has taken to be handed over.
func (o *output) read(stream string, pipe *os.File) {
	defer pipe.Close()
	c := &chunks{output: o, stream: stream, buf: make([]byte, chunk)}
	err := c.readFrom(pipe.Read, math.MaxInt)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		_ = c.readFrom(func(p []byte) (int, error) { return readNow(pipe, p) }, largestPipe) // then it is empty
	}
	c.end()
}

// chunks cuts a stream into what is handed over at a time, and never within a
// character of UTF-8.
type chunks struct {
	output *output
	stream string
	buf    []byte
	begun  int // bytes at its beginning, of a character whose rest has not come
}

// readFrom hands over what read returns until it returns an error, or about most
// bytes.
func (c *chunks) readFrom(read func([]byte) (int, error), most int) error {
	for most > 0 {
		n, err := read(c.buf[c.begun:])
		if n > 0 {
			c.hand(c.begun + n)
		}
		if err != nil {
			return err
		}
		most -= n
	}
	return nil
}

// hand hands over the first n bytes of the buffer.
func (c *chunks) hand(n int) {
	resume := c.output.silence.interrupt()
	defer resume()
	c.begun = begunCharacter(c.buf[:n])
	c.output.hand(c.stream, c.buf[:n-c.begun])
	copy(c.buf, c.buf[n-c.begun:n])
}

// end hands over what was kept back.
func (c *chunks) end() { c.output.hand(c.stream, c.buf[:c.begun]) }

// hand hands over a chunk, as far as it fits. The rest is read all the same: the
// command must not hang because of that.
func (o *output) hand(stream string, data []byte) {
	if len(data) == 0 {
		return
	}
	before := o.printed.Add(int64(len(data))) - int64(len(data))
	fits := fitting(data, max(0, o.most-before))
	if fits > 0 && o.take(o.ctx, stream, data[:fits]) != nil {
		fits = 0 // nobody wants it any more
	}
	o.dropped.Add(int64(len(data) - fits))
}

// fitting returns how many of the bytes are at most so many and end with a whole
// character.
func fitting(data []byte, most int64) int {
	if int64(len(data)) <= most {
		return len(data)
	}
	begun := begunCharacter(data[:most])
	if _, size := utf8.DecodeRune(data[int(most)-begun:]); size > begun {
		return int(most) - begun
	}
	return int(most)
}

// readNow reads what is in the pipe, and does not wait for more.
func readNow(pipe *os.File, p []byte) (n int, err error) {
	_ = pipe.SetReadDeadline(time.Time{}) // the one that has passed
	raw, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	fault := raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), p)
		for errors.Is(err, syscall.EINTR) {
			n, err = syscall.Read(int(fd), p)
		}
		return true
	})
	switch {
	case fault != nil:
		return 0, fault
	case n <= 0 && err == nil:
		return 0, io.EOF
	}
	return max(n, 0), err
}

// begunCharacter is how many bytes at the end are the beginning of a character of
// UTF-8 whose rest may follow. What can be none is never kept back.
func begunCharacter(data []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(data); i++ {
		if tail := data[len(data)-i:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return i
		}
	}
	return 0
}
