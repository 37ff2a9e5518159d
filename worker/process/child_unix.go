//go:build unix

package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/internal/procgroup"
	"github.com/fleetcast/fleetcast/worker"
)

var defaultPauseSignal os.Signal = syscall.SIGTSTP

// dumpWindow is how long after its signal what a program prints is its dump.
const dumpWindow = time.Second

var errNoDumpSignal = errors.New("no dump signal is set: name the one at which the command prints a thread dump," +
	" such as QUIT for the JVM (--dump-signal, or Config.DumpSignal)")

// child is one running copy of the command.
type child struct {
	source *source
	worker int
	begun  time.Time
	cmd    *exec.Cmd
	guard  *procgroup.Guard
	output *output

	paused   atomic.Bool
	stopping atomic.Bool   // it was told to end
	ended    chan struct{} // closed when the program has ended
}

// start starts a copy in the group of a new guard.
func (s *source) start(worker int) (*child, error) {
	g, err := procgroup.NewGuard()
	if err != nil {
		return nil, err
	}
	out, err := newOutput()
	if err != nil {
		g.End()
		return nil, err
	}
	cmd := exec.Command(s.path)
	cmd.Args = s.Command
	cmd.Dir, cmd.Env = s.Dir, s.environment(worker)
	cmd.Stdout, cmd.Stderr = out.stdout.theirs, out.stderr.theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.PID()}
	err = cmd.Start()
	out.started()
	if err != nil {
		out.close()
		g.End()
		return nil, err
	}
	return &child{
		source: s, worker: worker, begun: time.Now(), cmd: cmd, guard: g, output: out, ended: make(chan struct{}),
	}, nil
}

// run implements worker.Work.Run: it lasts as long as the program.
func (c *child) run(ctx context.Context) error {
	zerolog.Ctx(ctx).Info().Msg("process started")
	c.output.log(zerolog.Ctx(ctx))
	defer context.AfterFunc(ctx, c.guard.Kill)()
	err := c.cmd.Wait()
	close(c.ended)
	c.guard.End() // and whatever the program has left in its group
	c.output.finish()
	ran := time.Since(c.begun)
	c.source.pace.ended(c.worker, ran)
	err = c.outcome(ctx, err)
	if err == nil { // a failure is logged by the pool
		zerolog.Ctx(ctx).Info().Stringer(fieldReason, c.cmd.ProcessState).Dur(fieldDuration, ran).Msg("process ended")
	}
	return err
}

// outcome is what the end of the program means for the unit.
func (c *child) outcome(ctx context.Context, err error) error {
	status, _ := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	const termCode = 128 + int(syscall.SIGTERM) // what shells make of it
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case c.stopping.Load() && (status.Signal() == syscall.SIGTERM || status.ExitStatus() == termCode):
		return nil
	}
	return err
}

func (c *child) pause(context.Context) error {
	c.paused.Store(true)
	return c.signal(c.source.PauseSignal)
}

func (c *child) resume(context.Context) error {
	c.paused.Store(false)
	return c.signal(syscall.SIGCONT)
}

// stop reaches programs that are halted as well.
func (c *child) stop(context.Context) error {
	c.stopping.Store(true)
	return errors.Join(c.guard.Signal(syscall.SIGTERM), c.guard.Signal(syscall.SIGCONT))
}

// signal signals the program, and not those that it has started.
func (c *child) signal(s os.Signal) error {
	err := c.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// dump asks the program for a thread dump, and returns what it prints.
func (c *child) dump(ctx context.Context) (string, error) {
	if c.source.DumpSignal == nil {
		return "", errNoDumpSignal
	}
	t := c.output.tap()
	defer c.output.untap(t)
	if err := c.signal(c.source.DumpSignal); err != nil {
		return "", err
	}
	window := time.NewTimer(dumpWindow)
	defer window.Stop()
	select {
	case <-window.C:
	case <-ctx.Done():
	case <-c.ended:
		<-c.output.read // what it said before it ended
	}
	text := c.output.tapped(t)
	if text == "" {
		text = "The program printed nothing in the second after its dump signal (" + c.source.DumpSignal.String() + ").\n"
		if c.paused.Load() {
			text += "It is paused, and may be halted: resume it first.\n"
		}
	}
	return text, nil
}

var _ worker.Source = (*source)(nil)
