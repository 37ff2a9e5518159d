package main

import (
	"bufio"
	"context"
	_ "embed" // for celery.py
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// celeryControl is Celery's remote control over Redis: `inspect ping`, told how many
// answers to expect, and a broadcast command. The workers are processes of their own,
// since Celery has no other way; the caller is a Python process that is told what to do by
// a pipe, which adds some 0.1 ms.
var celeryControl = contender{
	name:    "celery",
	about:   "Celery's control.inspect(limit=N).ping() and a broadcast command, over Redis; N worker processes (pool solo, no gossip, mingle, heartbeat)",
	alone:   true,
	version: celeryVersion,
	open:    openCelery,
}

//go:embed celery.py
var celeryProgram []byte

// celeryPython returns a Python that can import celery and redis, and their versions.
// The first one in PATH need not be the one that Debian's packages are for.
func celeryPython(ctx context.Context) (python, versions string, err error) {
	const ask = `import celery, redis, platform; print("celery %s, redis-py %s, Python %s" % (celery.__version__, redis.__version__, platform.python_version()))`
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		cmd := exec.CommandContext(ctx, python, "-c", ask)
		cmd.Dir = os.TempDir()
		if out, err := cmd.Output(); err == nil {
			return python, strings.TrimSpace(string(out)), nil
		}
	}
	return "", "", &absentError{
		Reason:  "no python3 can import celery and redis",
		Install: "apt-get install --no-install-recommends celery python3-redis",
	}
}

func celeryVersion(ctx context.Context, s *site) (string, error) {
	_, versions, err := celeryPython(ctx)
	if err != nil {
		return "", err
	}
	broker, err := redisVersion(ctx, s)
	broker, _, _ = strings.Cut(broker, ",")
	return versions + ", over " + broker, err
}

func openCelery(ctx context.Context, s *site, n int) (_ *fleet, err error) {
	var undo closers
	defer func() {
		if err != nil {
			undo.close()
		}
	}()
	broker, addr, err := startRedis(ctx, s)
	if err != nil {
		return nil, err
	}
	undo.add(broker.end)
	program, err := celeryFile(s)
	if err != nil {
		return nil, err
	}
	python, _, err := celeryPython(ctx)
	if err != nil {
		return nil, err
	}
	env := []string{"PEERS_BROKER=redis://" + addr, "PEERS_TALLY=" + s.tally.path(), "C_FORCE_ROOT=1", "PYTHONDONTWRITEBYTECODE=1"}
	workers, _, err := s.startProgram(ctx, "started", env, python, program, "workers", strconv.Itoa(n))
	if err != nil {
		return nil, err
	}
	undo.add(workers.end)
	caller, err := startCeleryCaller(ctx, env, python, program, n)
	if err != nil {
		return nil, errors.Join(err, errors.New(workers.lastWords()))
	}
	undo.add(caller.end)
	return &fleet{measures: celeryMeasures(s, caller, n), close: undo.close}, nil
}

func celeryFile(s *site) (string, error) {
	dir, err := s.folder("celery")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "peers_celery.py")
	return file, os.WriteFile(file, celeryProgram, 0o600)
}

func celeryMeasures(s *site, caller *celeryCaller, n int) []measure {
	call := func(_ context.Context, _ int64) (int, error) { return caller.ask("ping") }
	asShipped := answered("inspect ping without limit, as its command line", n, func(context.Context, int64) (int, error) {
		return caller.ask("ping-default")
	})
	asShipped.most = 3 // it waits a fixed second
	send := func(_ context.Context, round int64) error {
		_, err := caller.ask(fmt.Sprintf("note %d", round))
		return err
	}
	return []measure{answered(allAnswered, n, call), handled(s.tally, n, send), asShipped}
}

// celeryCaller is the Python process that publishes. It ends when its input does.
type celeryCaller struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	errors *strings.Builder
}

func startCeleryCaller(ctx context.Context, env []string, python, program string, n int) (*celeryCaller, error) {
	cmd := exec.Command(python, program, "caller", strconv.Itoa(n))
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = filepath.Dir(program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c := &celeryCaller{cmd: cmd, in: in, out: bufio.NewScanner(out), errors: &strings.Builder{}}
	cmd.Stderr = c.errors
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if !c.out.Scan() { // "ready"
		c.end()
		return nil, errors.Join(fmt.Errorf("celery's caller did not start: %s", c.errors), c.out.Err(), context.Cause(ctx))
	}
	return c, nil
}

func (c *celeryCaller) ask(command string) (int, error) {
	late := time.AfterFunc(2*patience, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	if _, err := fmt.Fprintln(c.in, command); err != nil {
		return 0, err
	}
	if !c.out.Scan() {
		return 0, fmt.Errorf("celery's caller has ended: %w", errors.Join(c.out.Err(), io.ErrUnexpectedEOF))
	}
	return strconv.Atoi(c.out.Text())
}

func (c *celeryCaller) end() {
	_ = c.in.Close()
	late := time.AfterFunc(endTime, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	_ = c.cmd.Wait()
}
