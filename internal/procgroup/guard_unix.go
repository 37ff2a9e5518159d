//go:build unix

// Package procgroup runs programs in process groups that do not outlive this
// process, however it ends.
package procgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

const shell = "/bin/sh"

// guardScript ignores what may be sent to its group, says that it does, waits
// for the end of this process, and kills its group.
const guardScript = `trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2 TSTP TTIN TTOU; echo; read line; kill -KILL 0`

// Supported says what is missing to run programs here.
func Supported() error {
	if _, err := exec.LookPath(shell); err != nil {
		return fmt.Errorf("running a program needs %s, which sees to it that none outlives this process: %w", shell, err)
	}
	return nil
}

// Guard is the leader of a process group, to which programs are added by
// [syscall.SysProcAttr] with Setpgid and the Guard's PID. As long as it is not
// reaped no other group can get its number, so that signals never go astray. Its
// methods are safe for concurrent use.
type Guard struct {
	cmd  *exec.Cmd
	life *os.File // when it is closed, the guard kills the group

	mu     sync.Mutex
	reaped bool
}

// NewGuard starts a guard, and returns when it ignores signals.
func NewGuard() (*Guard, error) {
	g, ready, err := startGuard()
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	defer ready.Close()
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		g.End()
		return nil, fmt.Errorf("guard: %s ended early: %w", shell, err)
	}
	return g, nil
}

func startGuard() (g *Guard, ready *os.File, err error) {
	theirs, life, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	ready, said, err := os.Pipe()
	if err != nil {
		life.Close()
		return nil, nil, err
	}
	defer said.Close()
	cmd := exec.Command(shell, "-c", guardScript, "fleetcast-guard") // the last is for who reads ps
	cmd.Stdin, cmd.Stdout = theirs, said
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		life.Close()
		ready.Close()
		return nil, nil, err
	}
	return &Guard{cmd: cmd, life: life}, ready, nil
}

// PID is that of the guard, and the number of the group.
func (g *Guard) PID() int { return g.cmd.Process.Pid }

// Signal signals the whole group; it is no error if that has ended.
func (g *Guard) Signal(s syscall.Signal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reaped {
		return nil
	}
	err := syscall.Kill(-g.PID(), s)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// Kill kills the whole group.
func (g *Guard) Kill() { _ = g.Signal(syscall.SIGKILL) } // nothing is left if it fails

// End kills the group and waits for the guard.
func (g *Guard) End() {
	g.Kill()
	g.life.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.reaped {
		g.reaped = true
		_ = g.cmd.Wait() // it was killed
	}
}
