//go:build unix

package cli

import (
	"os"
	"syscall"
)

// signals are those that a program can handle, and STOP, which halts any.
var signals = map[string]os.Signal{
	"ABRT":  syscall.SIGABRT,
	"ALRM":  syscall.SIGALRM,
	"CONT":  syscall.SIGCONT,
	"HUP":   syscall.SIGHUP,
	"INT":   syscall.SIGINT,
	"QUIT":  syscall.SIGQUIT,
	"STOP":  syscall.SIGSTOP,
	"TERM":  syscall.SIGTERM,
	"TSTP":  syscall.SIGTSTP,
	"TTIN":  syscall.SIGTTIN,
	"TTOU":  syscall.SIGTTOU,
	"USR1":  syscall.SIGUSR1,
	"USR2":  syscall.SIGUSR2,
	"WINCH": syscall.SIGWINCH,
}
