//go:build unix

package subscribers

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

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/procgroup"
)

const (
	// execChunk is the most that one reply carries; slow callers get larger chunks
	// than quick ones, since the pipe fills meanwhile.
	execChunk = 32 << 10
	// execGrace is how long a command may take to end that was told to.
	execGrace = 2 * time.Second
	// execLinger is how long the output is read on after the end of the command: a
	// daemon that has left its group may still have the pipe.
	execLinger = time.Second
)

// running is one command under way.
type running struct {
	ctx   context.Context
	guard *procgroup.Guard
	limit int64 // of the output

	printed, dropped atomic.Int64
	quiet            *time.Timer // until the group is killed for silence; nil for never
	wait             time.Duration

	mu     sync.Mutex
	killed string
}

func (x *Exec) execute(ctx context.Context, p ExecParameters) (result ExecResult, err error) {
	guard, err := procgroup.NewGuard()
	if err != nil {
		return result, err
	}
	defer guard.End()
	r := &running{ctx: ctx, guard: guard, limit: p.MaxOutput, wait: time.Duration(p.Wait)}
	cmd, pipes, err := x.start(p, guard.PID())
	if err != nil {
		return result, err
	}
	stop := r.watch(time.Duration(p.Limit))
	var reading sync.WaitGroup
	for stream, pipe := range pipes {
		reading.Go(func() { r.read([]string{"stdout", "stderr"}[stream], pipe) })
	}
	_ = cmd.Wait() // ProcessState tells more
	stop()
	guard.End() // and whatever the command has left in its group
	for _, pipe := range pipes {
		_ = pipe.SetReadDeadline(time.Now().Add(execLinger))
	}
	reading.Wait()
	return r.result(cmd.ProcessState), nil
}

// start starts the command in the group; its output comes from the two files.
func (x *Exec) start(p ExecParameters, group int) (*exec.Cmd, []*os.File, error) {
	words := p.Command
	if p.Shell {
		words = []string{"/bin/sh", "-c", p.Command[0]}
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), x.Env...)
	for name, value := range p.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: group}
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
	cmd.Stdout, cmd.Stderr = itsStdout, itsStderr // and no stdin
	if err := cmd.Start(); err != nil {
		stdout.Close()
		stderr.Close()
		return nil, nil, cannotRun(words[0], p.Dir, err)
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
func (r *running) watch(limit time.Duration) (stop func()) {
	ended := context.AfterFunc(r.ctx, func() { r.end("%v", context.Cause(r.ctx)) })
	timers := []*time.Timer{}
	if r.wait > 0 {
		r.quiet = time.AfterFunc(r.wait, func() { r.kill("it printed nothing for %s", r.wait) })
		timers = append(timers, r.quiet)
	}
	if limit > 0 {
		timers = append(timers, time.AfterFunc(limit, func() { r.end("it took longer than %s", limit) }))
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
	time.AfterFunc(execGrace, r.guard.Kill)
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
	buf := make([]byte, execChunk)
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
		defer r.quiet.Reset(r.wait)
	}
	before := r.printed.Add(int64(len(data))) - int64(len(data))
	fits := min(int64(len(data)), max(0, r.limit-before))
	if fits > 0 && event.Emit(r.ctx, ExecOutput{Stream: stream, Data: data[:fits]}) != nil {
		fits = 0 // nobody wants it any more
	}
	r.dropped.Add(int64(len(data)) - fits)
}

func (r *running) result(state *os.ProcessState) ExecResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := ExecResult{
		ExitCode: state.ExitCode(), Killed: r.killed, OutputBytes: r.printed.Load(), DroppedBytes: r.dropped.Load(),
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.ExitCode, result.Signal = 128+int(status.Signal()), status.Signal().String()
	}
	return result
}
