// Package process is a [worker.Source] whose units are running copies of a
// command: workers written as a program in any language.
//
//	source, err := process.Source(process.Config{Command: []string{"./import.sh"}})
//	pool, err := worker.New(source, worker.Config{Workers: 4}) // four copies
//
// It works on Unix systems that have /bin/sh.
//
// # Life of a copy
//
//		Take ──► wait for the restart delay ──► start ──► running ⇄ paused
//		  ▲                                                  │
//		  │                        it ends, or TERM and CONT (stop), or KILL (kill)
//		  │                                                  ▼
//		  └────── the rest of its process group is killed ── ended
//
//	  - The worker is busy while its copy runs. Kind is the name of the command,
//	    WorkID the process id. A copy that ends, with whatever exit code, is
//	    started again by the same worker.
//	  - The delay before that doubles from 0.5 s to 1 min while copies end within
//	    10 s, and is halved for every 10 s that one has run; a random part of up to
//	    a half is taken off. The first copy of each worker starts at once.
//	  - Pausing or quieting the pool sends Config.PauseSignal to the program, and
//	    resuming sends CONT. A program that does not handle TSTP is halted by it.
//	    Programs that the command has started itself are not signalled: they are
//	    the current work.
//	  - Stopping sends TERM and then CONT to the whole process group. It is up to
//	    the program when it ends; a time-out of the pool's stop kills it.
//	  - Killing sends KILL to the whole process group. A copy is never abandoned,
//	    unless the kernel itself cannot end it.
//	  - A thread dump is what the program prints in the second after
//	    Config.DumpSignal, which only the program gets and none of its children.
//	  - Each line of output is a line in the log, at level info with the worker's
//	    number and the stream; lines of more than 32 KiB come in pieces, and what
//	    is not UTF-8 is replaced. Standard input is empty.
//
// A copy's exit code other than 0, and a signal that ends it, fail the unit. To
// end by TERM after a stop is no failure.
//
// # No orphans
//
// Each copy has a process group of its own, whose leader is a small shell: it
// waits until the pipe to this process closes, which the kernel does however this
// process ends, and then kills the group, itself included. A program that leaves
// its group (setsid, or a daemon) is out of its reach. What a copy leaves behind
// in its group is killed when the copy ends.
//
// As process 1 of a container this process inherits what is killed, and does not
// wait for it: run an init there, such as `docker run --init`.
//
// # Environment
//
// A copy inherits the environment of this process with Config.Env added, and
//
//	FLEETCAST_SERVER_ID  Config.ServerID
//	FLEETCAST_WORKER_ID  the worker's number
//
// The command fleetcast reads flags from such variables: called in a copy, it
// means this server and this worker unless told otherwise.
package process
