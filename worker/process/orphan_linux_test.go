package process

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/worker"
)

// beServer supervises two copies of a script until it is killed; it logs to
// stdout.
func beServer(script string) {
	if err := os.Unsetenv(serverMode); err != nil {
		panic(err)
	}
	source, err := Source(Config{Command: []string{"sh", "-c", script}})
	if err != nil {
		panic(err)
	}
	pool, err := worker.New(source, worker.Config{Workers: 2})
	if err != nil {
		panic(err)
	}
	log := zerolog.New(zerolog.ConsoleWriter{Out: os.Stdout, NoColor: true, PartsOrder: []string{zerolog.MessageFieldName},
		FieldsExclude: []string{"worker_id", "kind", "work_id", "stream"}})
	fmt.Println(pool.Run(log.WithContext(context.Background())))
}

// No orphan survives the server, however it ends and whatever its copies are at.
func TestNoOrphans(t *testing.T) {
	for name, prepare := range map[string]func(pids []string){
		"running": func([]string) {},
		"halted by TSTP": func(pids []string) {
			for _, pid := range pids {
				require.NoError(t, syscall.Kill(-groupOf(t, pid), syscall.SIGTSTP))
			}
			await(t, "the halt", func() bool { return condition(pids[0]) == "T" })
		},
		"halted by STOP, guards too": func(pids []string) {
			for _, pid := range pids {
				require.NoError(t, syscall.Kill(-groupOf(t, pid), syscall.SIGSTOP))
			}
			await(t, "the halt", func() bool { return condition(strconv.Itoa(groupOf(t, pids[0]))) == "T" })
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := exec.Command(os.Args[0])
			server.Env = append(os.Environ(), serverMode+"="+deafFamily)
			stdout, err := server.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, server.Start())
			defer func() { _ = server.Process.Kill() }()
			var pids []string
			for lines := bufio.NewScanner(stdout); len(pids) < 6 && lines.Scan(); {
				for _, prefix := range []string{"grandchild ", "child ", "pid "} {
					if pid, ok := strings.CutPrefix(lines.Text(), prefix); ok {
						pids = append(pids, strings.TrimSpace(pid))
					}
				}
			}
			require.Len(t, pids, 6)
			groups := []int{groupOf(t, pids[0]), groupOf(t, pids[len(pids)-1])}
			defer func() {
				if t.Failed() {
					_ = syscall.Kill(-groups[0], syscall.SIGKILL)
					_ = syscall.Kill(-groups[1], syscall.SIGKILL)
				}
			}()
			guards := []string{strconv.Itoa(groups[0]), strconv.Itoa(groups[1])}
			prepare(pids)
			requireAlive(t, append(pids, guards...)...)
			require.NoError(t, server.Process.Signal(syscall.SIGKILL))
			_ = server.Wait()
			awaitDead(t, append(pids, guards...)...)
		})
	}
}
