//go:build unix

package procgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// chunk is the most that is handed over at a time; slow takers get larger chunks
	// than quick ones, since the pipe fills meanwhile.
	chunk = 32 << 10
	// grace is how long a command may take to end that was told to.
	grace = 2 * time.Second
	// linger is how long the output is read on after the end of the command: a
	// daemon that has left its group may still have the pipe.
	linger = time.Second
)

// Run runs a command in a group of its own, and returns when it and all that it has
// left in its group have ended. When ctx ends, or c.Limit is over, the group gets
// TERM, and KILL two seconds later; when it has printed nothing for c.Wait, KILL. It
// is an error if the command cannot be started, and none if it fails.
func Run(ctx context.Context, c Command) (Result, error) {
	guard, err := NewGuard()
	if err != nil {
		return Result{}, err
	}
	defer guard.End()
	r := &running{Command: c, ctx: ctx, guard: guard}
	cmd, pipes, err := r.start()
	if err != nil {
		return Result{}, err
	}
	begun := time.Now()
	stop := r.watch()
	var reading sync.WaitGroup
	for stream, pipe := range pipes {
		reading.Go(func() { r.read([]string{"stdout", "stderr"}[stream], pipe) })
	}
	_ = cmd.Wait() // ProcessState tells more
	stop()
	guard.End() // and whatever the command has left in its group
	for _, pipe := range pipes {
		_ = pipe.SetReadDeadline(time.Now().Add(linger))
	}
	reading.Wait()
	return r.result(cmd.ProcessState, time.Since(begun)), nil
}

// running is one command under way.
type running struct {
	Command
	ctx   context.Context
	guard *Guard

	printed, dropped atomic.Int64
	quiet            *time.Timer // until the group is killed for silence; nil for never

	mu     sync.Mutex
	killed string
}

// start starts the command in the group; its output comes from the two files.
func (r *running) start() (*exec.Cmd, []*os.File, error) {
	cmd := exec.Command(r.Words[0], r.Words[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = r.Dir, append(os.Environ(), r.Env...), r.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: r.guard.PID()}
	cmd.WaitDelay = linger // for a stdin that nobody reads
	stdout, itsStdout, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer itsStdout.Close()
	stderr, itsStderr, err := os.Pipe()
	if err != nil {
		stdout.Close()
		return nil, nil, err
	}
	defer itsStderr.Close()
	cmd.Stdout, cmd.Stderr = itsStdout, itsStderr
	if err := cmd.Start(); err != nil {
		stdout.Close()
		stderr.Close()
		return nil, nil, cannotRun(r.Words[0], r.Dir, err)
	}
	return cmd, []*os.File{stdout, stderr}, nil
}

func cannotRun(name, dir string, err error) error {
	if dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("%s cannot be run in %s: there is no such directory", name, dir)
		}
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s cannot be run: it is not executable for this server's user (chmod +x)", name)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s cannot be run: there is no such program on this host, or not in the server's PATH", name)
	}
	return fmt.Errorf("%s cannot be run: %w", name, err)
}

// watch ends the command for silence, for taking too long, and when its caller or
// the server wants no more of it, until the returned function is called.
func (r *running) watch() (stop func()) {
	ended := context.AfterFunc(r.ctx, func() { r.end("%v", context.Cause(r.ctx)) })
	timers := []*time.Timer{}
	if r.Wait > 0 {
		r.quiet = time.AfterFunc(r.Wait, func() { r.kill("it printed nothing for %s", r.Wait) })
		timers = append(timers, r.quiet)
	}
	if r.Limit > 0 {
		timers = append(timers, time.AfterFunc(r.Limit, func() { r.end("it took longer than %s", r.Limit) }))
	}
	return func() {
		ended()
		for _, t := range timers {
			t.Stop()
		}
	}
}

// kill kills the group at once; the first reason counts.
func (r *running) kill(reason string, args ...any) {
	r.note(reason, args...)
	r.guard.Kill()
}

// end tells the group to end, and kills it if it does not.
func (r *running) end(reason string, args ...any) {
	r.note(reason, args...)
	_ = r.guard.Signal(syscall.SIGTERM)
	_ = r.guard.Signal(syscall.SIGCONT) // it may be halted
	time.AfterFunc(grace, r.guard.Kill)
}

func (r *running) note(reason string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.killed == "" {
		r.killed = fmt.Sprintf(reason, args...)
	}
}

// read sends what the command prints, up to the limit, and reads on beyond it: the
// command must not hang because of that.
func (r *running) read(stream string, pipe *os.File) {
	defer pipe.Close()
	buf := make([]byte, chunk)
	for {
		n, err := pipe.Read(buf)
		if n > 0 {
			r.send(stream, buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// send sends a chunk. While that waits for the store, the command is not silent.
func (r *running) send(stream string, data []byte) {
	if r.quiet != nil {
		r.quiet.Stop()
		defer r.quiet.Reset(r.Wait)
	}
	before := r.printed.Add(int64(len(data))) - int64(len(data))
	fits := min(int64(len(data)), max(0, r.MaxOutput-before))
	if fits > 0 && r.Output(stream, data[:fits]) != nil {
		fits = 0 // nobody wants it any more
	}
	r.dropped.Add(int64(len(data)) - fits)
}

func (r *running) result(state *os.ProcessState, took time.Duration) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := Result{
		ExitCode: state.ExitCode(), Killed: r.killed, Printed: r.printed.Load(), Dropped: r.dropped.Load(), Took: took,
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.ExitCode, result.Signal = 128+int(status.Signal()), status.Signal().String()
	}
	return result
}
