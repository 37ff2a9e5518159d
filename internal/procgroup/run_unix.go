//go:build unix

package procgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"
)

// grace is how long a command may take to end that was told to.
const grace = 2 * time.Second

// Run runs a command in a group of its own, and returns when it and all that it has
// left in its group have ended. When ctx ends, or c.Limit is over, the group gets
// TERM, and KILL two seconds later; when it has printed nothing for c.Wait, KILL. It
// is an error if the command cannot be started, and none if it fails.
//
// All that the command has printed has then been given to c.Output, or is counted as
// dropped; that may take up to half a minute after the command's end.
func Run(ctx context.Context, c Command) (Result, error) {
	guard, err := NewGuard()
	if err != nil {
		return Result{}, err
	}
	defer guard.End()
	r := &running{Command: c, ctx: ctx, guard: guard}
	cmd, stdout, stderr, err := r.start()
	if err != nil {
		return Result{}, err
	}
	begun := time.Now()
	stop := r.watch()
	out := &output{take: c.Output, most: c.MaxOutput, silence: r.silence}
	out.start(ctx, stdout, stderr)
	_ = cmd.Wait() // ProcessState tells more
	stop()
	guard.End() // and whatever the command has left in its group
	took := time.Since(begun)
	out.finish()
	return r.result(cmd.ProcessState, out, took), nil
}

// running is one command under way.
type running struct {
	Command
	ctx     context.Context
	guard   *Guard
	silence *silence // for which the group is killed; nil for never

	mu     sync.Mutex
	killed string
}

// start starts the command in the group; its output comes from the two files.
func (r *running) start() (cmd *exec.Cmd, stdout, stderr *os.File, err error) {
	cmd = exec.Command(r.Words[0], r.Words[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = r.Dir, r.environment(), r.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: r.guard.PID()}
	cmd.WaitDelay = linger // for a stdin that nobody reads
	stdout, itsStdout, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	defer itsStdout.Close()
	stderr, itsStderr, err := os.Pipe()
	if err != nil {
		stdout.Close()
		return nil, nil, nil, err
	}
	defer itsStderr.Close()
	cmd.Stdout, cmd.Stderr = itsStdout, itsStderr
	if err := cmd.Start(); err != nil {
		stdout.Close()
		stderr.Close()
		return nil, nil, nil, cannotRun(r.Words[0], r.Dir, err)
	}
	return cmd, stdout, stderr, nil
}

func (r *running) environment() []string {
	if r.Base == nil {
		return append(os.Environ(), r.Env...)
	}
	return slices.Concat(r.Base, r.Env)
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
	if r.Wait > 0 {
		r.silence = newSilence(r.Wait, func() { r.kill("it printed nothing for %s", r.Wait) })
	}
	inTime := func() bool { return true }
	if r.Limit > 0 {
		inTime = time.AfterFunc(r.Limit, func() { r.end("it took longer than %s", r.Limit) }).Stop
	}
	return func() {
		ended()
		r.silence.end()
		inTime()
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

func (r *running) result(state *os.ProcessState, out *output, took time.Duration) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := Result{
		ExitCode: state.ExitCode(), Killed: r.killed, Printed: out.printed.Load(), Dropped: out.dropped.Load(), Took: took,
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.ExitCode, result.Signal = 128+int(status.Signal()), status.Signal().String()
	}
	return result
}
