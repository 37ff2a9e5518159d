package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// postgresNotify is a round trip by LISTEN and NOTIFY on a PostgreSQL of our own.
var postgresNotify = contender{
	name:    "postgres",
	about:   "PostgreSQL LISTEN/NOTIFY: request and answers notified on two channels; two connections for each responder",
	version: postgresVersion,
	open:    openPostgres,
	respond: respondPostgres,
}

const (
	postgresAnswer  = "peers_answer"
	postgresAnswers = "peers_answers"
	postgresNote    = "peers_note"
)

// postgresFolder is where the programs are, of which Debian puts none into PATH.
func postgresFolder() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", &absentError{Reason: "no initdb in PATH or /usr/lib/postgresql", Install: "apt-get install --no-install-recommends postgresql"}
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	return filepath.Dir(found[len(found)-1]), nil
}

func postgresVersion(ctx context.Context, _ *site) (string, error) {
	dir, err := postgresFolder()
	if err != nil {
		return "", err
	}
	if _, err := postgresUser(); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return "", &absentError{Reason: "initdb is there, but postgres does not run", Install: "apt-get install --no-install-recommends postgresql"}
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(out)), ") ")
	version, _, _ = strings.Cut(version, " ")
	return "PostgreSQL " + version + ", pgx " + moduleVersion("github.com/jackc/pgx/v5"), nil
}

// postgresUser is who the server runs as: it refuses to be root.
func postgresUser() (*user.User, error) {
	if os.Geteuid() != 0 {
		return user.Current()
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, &absentError{Reason: "PostgreSQL does not run as root, and there is no user postgres", Install: "run this as another user"}
	}
	return u, nil
}

// startPostgres makes a new database cluster that is not synced to disk, and serves it.
func startPostgres(ctx context.Context, s *site, connections int) (*process, string, error) {
	bin, err := postgresFolder()
	if err != nil {
		return nil, "", err
	}
	data, owner, err := postgresData(s)
	if err != nil {
		return nil, "", err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "peers", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
	initdb.Dir = data
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("initdb: %w\n%s", err, out)
	}
	_, port, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	p, _, err := s.startProgram(ctx, "ready to accept connections", postgresKeeper(owner), filepath.Join(bin, "postgres"),
		"-D", data, "-h", "127.0.0.1", "-p", port, "-k", "", "-c", "fsync=off", "-c", fmt.Sprintf("max_connections=%d", connections))
	return p, fmt.Sprintf("postgres://peers@127.0.0.1:%s/postgres?sslmode=disable", port), err
}

// postgresData makes the folder, and returns who shall own the processes: nil for
// whoever we are.
func postgresData(s *site) (string, *syscall.Credential, error) {
	dir, err := s.folder("postgres")
	if err != nil || os.Geteuid() != 0 {
		return dir, nil, err
	}
	u, err := postgresUser()
	if err != nil {
		return "", nil, err
	}
	uid, err := strconv.Atoi(u.Uid)
	gid, errGroup := strconv.Atoi(u.Gid)
	err = errors.Join(err, errGroup, os.Chown(dir, uid, gid), os.Chmod(s.dir, 0o711))
	return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// postgresKeeper tells the keeper who runs the program.
func postgresKeeper(owner *syscall.Credential) []string {
	if owner == nil {
		return nil
	}
	return []string{fmt.Sprintf("%s=%d:%d", keepAs, owner.Uid, owner.Gid)}
}

func openPostgres(ctx context.Context, s *site, n int) (_ *fleet, err error) {
	var undo closers
	defer func() {
		if err != nil {
			undo.close()
		}
	}()
	broker, uri, err := startPostgres(ctx, s, 2*n+20)
	if err != nil {
		return nil, err
	}
	undo.add(broker.end)
	p, _, err := s.respondents(ctx, "postgres", n, uri)
	if err != nil {
		return nil, err
	}
	undo.add(p.end)
	caller, err := pgx.Connect(ctx, uri)
	if err != nil {
		return nil, err
	}
	undo.add(func() { _ = caller.Close(context.Background()) })
	answers, stop, err := listenPostgres(ctx, uri)
	if err != nil {
		return nil, err
	}
	undo.add(stop)
	return &fleet{measures: postgresMeasures(s, caller, answers, n), close: undo.close}, nil
}

// listenPostgres listens for the answers, on a connection of its own.
func listenPostgres(ctx context.Context, uri string) (<-chan string, func(), error) {
	conn, err := listeningConn(ctx, uri, postgresAnswers)
	if err != nil {
		return nil, nil, err
	}
	answers, done := make(chan string, 1024), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return
			}
			answers <- n.Payload
		}
	}()
	return answers, func() { cancel(); <-done; _ = conn.Close(context.Background()) }, nil
}

func listeningConn(ctx context.Context, uri string, channels ...string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return nil, err
	}
	for _, channel := range channels {
		if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
			return nil, errors.Join(err, conn.Close(ctx))
		}
	}
	return conn, nil
}

func notifyPostgres(ctx context.Context, conn *pgx.Conn, channel string, text []byte) error {
	_, err := conn.Exec(ctx, "SELECT pg_notify($1, $2)", channel, string(text))
	return err
}

func postgresMeasures(s *site, caller *pgx.Conn, answers <-chan string, n int) []measure {
	call := func(ctx context.Context, round int64) (int, error) {
		request := payload(round)
		if err := notifyPostgres(ctx, caller, postgresAnswer, request); err != nil {
			return 0, err
		}
		return count(ctx, n, answers, func(a string) bool { return strings.HasPrefix(a, string(request)) }), nil
	}
	send := func(ctx context.Context, round int64) error {
		return notifyPostgres(ctx, caller, postgresNote, payload(round))
	}
	return []measure{answered(allAnswered, n, call), handled(s.tally, n, send)}
}

func respondPostgres(ctx context.Context, r *responders) error {
	ended := make(chan error, r.n)
	for i := range r.n {
		in, err := listeningConn(ctx, r.addr, postgresAnswer, postgresNote)
		if err != nil {
			return err
		}
		out, err := pgx.Connect(ctx, r.addr)
		if err != nil {
			return err
		}
		go func() { ended <- answerPostgres(ctx, r, i, in, out) }()
	}
	r.ready("")
	for range r.n {
		if err := <-ended; ctx.Err() == nil {
			return fmt.Errorf("a responder has ended: %w", err)
		}
	}
	return nil
}

func answerPostgres(ctx context.Context, r *responders, member int, in, out *pgx.Conn) error {
	for {
		n, err := in.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Channel == postgresAnswer {
			if err := notifyPostgres(ctx, out, postgresAnswers, fmt.Appendf(nil, "%s s-%d", n.Payload, member)); err != nil {
				return err
			}
			continue
		}
		if round, err := roundOf([]byte(n.Payload)); err == nil {
			r.handled(member, round)
		}
	}
}
