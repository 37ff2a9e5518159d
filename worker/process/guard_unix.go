//go:build unix

package process

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

// supported says what is missing to run process workers here.
func supported() error {
	if _, err := exec.LookPath(shell); err != nil {
		return fmt.Errorf("process workers need %s, which sees to it that none outlives this process: %w", shell, err)
	}
	return nil
}

// guard is the leader of a copy's process group. As long as it is not reaped no
// other group can get its number, so that signals never go astray.
type guard struct {
	cmd  *exec.Cmd
	life *os.File // when it is closed, the guard kills the group

	mu     sync.Mutex
	reaped bool
}

// newGuard starts a guard, and returns when it ignores signals.
func newGuard() (*guard, error) {
	g, ready, err := startGuard()
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	defer ready.Close()
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		g.end()
		return nil, fmt.Errorf("guard: %s ended early: %w", shell, err)
	}
	return g, nil
}

func startGuard() (g *guard, ready *os.File, err error) {
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
	return &guard{cmd: cmd, life: life}, ready, nil
}

func (g *guard) pid() int { return g.cmd.Process.Pid }

// signal signals the whole group; it is no error if that has ended.
func (g *guard) signal(s syscall.Signal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reaped {
		return nil
	}
	err := syscall.Kill(-g.pid(), s)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

func (g *guard) kill() { _ = g.signal(syscall.SIGKILL) } // nothing is left if it fails

// end kills the group and waits for the guard.
func (g *guard) end() {
	g.kill()
	g.life.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.reaped {
		g.reaped = true
		_ = g.cmd.Wait() // it was killed
	}
}
