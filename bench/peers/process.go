package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that was started, or this one in another role. It ends when
// the pipe to it is closed, hence also when this process dies of whatever.
type process struct {
	cmd   *exec.Cmd
	lease io.Closer
	lines <-chan string

	mu   sync.Mutex
	said []string // its last lines, for the error when it fails
}

const (
	startTime = 2 * time.Minute
	endTime   = 10 * time.Second
	saidLines = 12
)

// startProgram starts another program, under a keeper, and returns when it has
// printed a line with this text, and that line.
func (s *site) startProgram(ctx context.Context, until string, env []string, args ...string) (*process, string, error) {
	return s.start(ctx, until, env, append([]string{roleKeep}, args...))
}

// startRole starts this program in another role, and returns what it says behind
// the word ready.
func (s *site) startRole(ctx context.Context, args ...string) (*process, string, error) {
	p, line, err := s.start(ctx, "ready", nil, args)
	return p, strings.TrimSpace(strings.TrimPrefix(line, "ready")), err
}

func (s *site) start(ctx context.Context, until string, env, args []string) (*process, string, error) {
	cmd := exec.Command(s.self, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's Ctrl-C is for us alone
	p, err := launch(cmd)
	if err != nil {
		return nil, "", fmt.Errorf("start %v: %w", args, err)
	}
	line, err := p.await(ctx, until)
	if err != nil {
		p.end()
		return nil, "", fmt.Errorf("%v: %w", args, err)
	}
	return p, line, nil
}

func launch(cmd *exec.Cmd) (*process, error) {
	lease, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := make(chan string)
	p := &process{cmd: cmd, lease: lease, lines: lines}
	go p.read(out, lines)
	return p, nil
}

// read hands the lines over until the one that is awaited has come, and then only
// keeps the last of them. It ends with the output.
func (p *process) read(out io.Reader, lines chan<- string) {
	defer close(lines)
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		p.keep(scanner.Text())
		select {
		case lines <- scanner.Text():
		case <-time.After(time.Second): // nobody awaits one
		}
	}
	_, _ = io.Copy(io.Discard, out) // a line that is too long
}

func (p *process) keep(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, line)
	if len(p.said) > saidLines {
		p.said = p.said[1:]
	}
}

func (p *process) lastWords() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.said, "\n")
}

func (p *process) await(ctx context.Context, text string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("it is not up after %s", startTime))
	defer cancel()
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return "", fmt.Errorf("it ended before it said %q:\n%s", text, p.lastWords())
			}
			if strings.Contains(line, text) {
				return line, nil
			}
		case <-ctx.Done():
			return "", fmt.Errorf("%w:\n%s", context.Cause(ctx), p.lastWords())
		}
	}
}

// end ends the process, and what it has started, and waits for it.
func (p *process) end() {
	_ = p.lease.Close()
	late := time.AfterFunc(endTime, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	_ = p.cmd.Wait() // closes its output, too, whoever else holds that
	for range p.lines {
		continue
	}
}

// keep is the life of a keeper: it runs a program in a process group of its own, and
// ends the whole group when our own input is closed, or the program has ended.
func keep(args []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: keepCredential()}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	var status error
	go func() { defer close(ended); status = cmd.Wait() }()
	defer endGroup(cmd.Process.Pid)
	select {
	case <-ended:
		return errors.Join(errors.New("the program ended by itself"), status)
	case <-inputClosed():
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(endTime / 2):
	}
	return nil
}

// keepAs, as uid:gid in the environment of a keeper, is whose the program shall be;
// the keeper itself stays who it is, and may end it.
const keepAs = "PEERS_KEEP_AS"

func keepCredential() *syscall.Credential {
	var c syscall.Credential
	if _, err := fmt.Sscanf(os.Getenv(keepAs), "%d:%d", &c.Uid, &c.Gid); err != nil {
		return nil
	}
	return &c
}

func endGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// inputClosed is closed when whoever started us has ended, or wants us to.
func inputClosed() <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(closed)
	}()
	return closed
}
