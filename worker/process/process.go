package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetcast/fleetcast/internal/procgroup"
	"github.com/fleetcast/fleetcast/worker"
)

// Field names in the log.
const (
	fieldStream   = "stream"
	fieldReason   = "reason"
	fieldDuration = "duration_ms"
	fieldRetryIn  = "retry_in_ms"
)

// Config says what to run. Only Command is required.
type Config struct {
	// Command is the program and its arguments. A name without a slash is looked
	// up in PATH. There is no shell: give {"sh", "-c", "…"} for one.
	Command []string

	// Dir is where it runs, and what a relative Command is relative to. Default:
	// the directory of this process.
	Dir string

	// Env are additions to the environment, as "KEY=value".
	Env []string

	// ServerID is what FLEETCAST_SERVER_ID is set to. Default: it is not set.
	ServerID string

	// PauseSignal tells the program to hold still, or to take no more work.
	// Default SIGTSTP.
	PauseSignal os.Signal

	// DumpSignal lets the program print a thread dump, such as SIGQUIT for the
	// JVM, or SIGUSR1 for a Python program that has registered its faulthandler.
	// Default: none, since it ends a program that does not know it. A thread
	// dump is then refused.
	DumpSignal os.Signal
}

// Source returns endless copies of the command, one for each Take. It is an
// error if the command cannot be found or is not executable, or the system
// cannot run process workers. If a copy cannot be started later, Take fails.
func Source(cfg Config) (worker.Source, error) {
	if err := procgroup.Supported(); err != nil {
		return nil, err
	}
	path, err := find(cfg)
	if err != nil {
		return nil, err
	}
	for _, pair := range cfg.Env {
		if key, _, ok := strings.Cut(pair, "="); !ok || key == "" {
			return nil, fmt.Errorf("environment %q: write KEY=value", pair)
		}
	}
	if cfg.PauseSignal == nil {
		cfg.PauseSignal = defaultPauseSignal
	}
	cfg.Command, cfg.Env = slices.Clone(cfg.Command), slices.Clone(cfg.Env)
	return &source{Config: cfg, path: path, kind: filepath.Base(cfg.Command[0]), pace: newPace()}, nil
}

// find returns the absolute path of the command.
func find(cfg Config) (string, error) {
	if len(cfg.Command) == 0 || cfg.Command[0] == "" {
		return "", errors.New("no command to run")
	}
	if info, err := os.Stat(cmp.Or(cfg.Dir, ".")); err != nil || !info.IsDir() {
		return "", fmt.Errorf("directory %s for command %s: it does not exist, or is none", cfg.Dir, cfg.Command[0])
	}
	name := cfg.Command[0]
	if filepath.Base(name) != name && !filepath.IsAbs(name) {
		dir, err := filepath.Abs(cfg.Dir)
		if err != nil {
			return "", err
		}
		name = filepath.Join(dir, name)
	}
	path, err := exec.LookPath(name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("command %s cannot be run: make it executable (chmod +x)", cfg.Command[0])
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("command %s is not in PATH: give its path, such as ./%[1]s", cfg.Command[0])
	case err != nil:
		return "", fmt.Errorf("command %s cannot be run: %w", cfg.Command[0], err)
	}
	return filepath.Abs(path)
}

// source implements worker.Source.
type source struct {
	Config
	path string
	kind string
	pace *pace
}

// Take waits for the restart delay of its worker, and starts a copy.
func (s *source) Take(ctx context.Context, f worker.Filter) (worker.Work, error) {
	if !f.Match(s.kind) {
		return worker.Work{}, worker.ErrNoWork
	}
	id, _ := worker.ID(ctx)
	if err := s.pace.wait(ctx, id); err != nil {
		return worker.Work{}, err
	}
	c, err := s.start(id)
	if err != nil {
		return worker.Work{}, fmt.Errorf("start %s: %w", s.Command[0], err)
	}
	return worker.Work{
		ID:          strconv.Itoa(c.cmd.Process.Pid),
		Kind:        s.kind,
		Description: strings.Join(s.Command, " "),
		Run:         c.run,
		Hooks:       worker.Hooks{Pause: c.pause, Resume: c.resume, Stop: c.stop, Dump: c.dump},
	}, nil
}

func (s *source) environment(worker int) []string {
	env := append(os.Environ(), s.Env...)
	if s.ServerID != "" {
		env = append(env, "FLEETCAST_SERVER_ID="+s.ServerID)
	}
	return append(env, "FLEETCAST_WORKER_ID="+strconv.Itoa(worker))
}
