package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/console"
	"github.com/fleetcast/fleetcast/event"
)

// defaultConsoleAddr is where a console listens.
const defaultConsoleAddr = "127.0.0.1:8787"

// consoleFlags are those of the console.
type consoleFlags struct {
	addr       string
	base       string
	readOnly   bool
	users      string
	cert, key  string
	stuckAfter time.Duration
	proxy      proxyFlags
}

func (a *app) consoleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "console", Args: noArgs,
		Short: "Serve the web console",
		Long: `Serve the web console: the fleet live, actions with a dry run before and every answer
after, events, thread dumps, settings, audit; and the JSON API below /api/v1.

Without a login it serves this machine alone. With --users those may log in who are in
the file; "console hash-password" makes the hashes:

  users:
    - name: alice
      role: operator        # viewer, operator or admin
      password: $2a$12$...

Behind a proxy that has a login of its own, such as one for OpenID Connect, name the
header in which it says who it is: --proxy-user-header X-Forwarded-User. Only what comes
from --trusted-proxy is believed.`,
		Example: `  fleetcast console
  fleetcast console --console-addr 0.0.0.0:8787 --users users.yaml --tls-cert cert.pem --tls-key key.pem
  fleetcast console --read-only`,
	}
	f := &consoleFlags{}
	fl := cmd.Flags()
	fl.StringVar(&f.addr, "console-addr", defaultConsoleAddr, "address of the console; port 0 takes a free one")
	fl.StringVar(&f.base, "base", "", "path that the console is below, such as /fleet, as a proxy passes it on")
	fl.BoolVar(&f.readOnly, "read-only", false, "let nobody change anything")
	fl.StringVar(&f.users, "users", "", "YAML file of those who may log in")
	fl.StringVar(&f.cert, "tls-cert", "", "PEM file of the certificate, with those of its issuers")
	fl.StringVar(&f.key, "tls-key", "", "PEM file of the certificate's key")
	fl.DurationVar(&f.stuckAfter, "stuck-after", console.DefaultStuckAfter, "a worker busy for longer shows as stuck, 0 = never")
	f.proxy.add(cmd)
	cmd.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	cmd.MarkFlagsMutuallyExclusive("users", "proxy-user-header")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.console(a.logger(a.levels).WithContext(cmd.Context()), f)
	}
	cmd.AddCommand(a.hashPasswordCommand())
	return cmd
}

// config checks the flags.
func (f *consoleFlags) config(a *app) (cfg console.Config, err error) {
	cfg = console.Config{Base: strings.TrimSuffix(f.base, "/"), ReadOnly: f.readOnly, Log: event.LogConfig{Strategy: event.Strategy(a.strategy)}, StuckAfter: f.stuckAfter}
	if cfg.StuckAfter <= 0 {
		cfg.StuckAfter = -1
	}
	if cfg.Keyring, err = config.KeyringFromEnv(func(name string) string { v, _ := a.Env(name); return v }); err != nil {
		return cfg, usageError("%w", err)
	}
	if f.users != "" {
		if cfg.Users, err = console.ReadUsers(f.users); err != nil {
			return cfg, usageError("--users: %w", err)
		}
	}
	if cfg.Authenticate, err = f.proxy.authenticate(); err != nil {
		return cfg, err
	}
	cfg.SecureCookies = f.cert != ""
	if cfg.Users == nil && cfg.Authenticate == nil && !isLoopback(f.addr) {
		return cfg, usageError("--console-addr %s: a console without a login serves this machine alone: use 127.0.0.1, or --users, or --proxy-user-header", f.addr)
	}
	return cfg, nil
}

// isLoopback reports whether an address is of this machine alone.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // listening says what is wrong with it
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (a *app) console(ctx context.Context, f *consoleFlags) error {
	cfg, err := f.config(a)
	if err != nil {
		return err
	}
	s, err := a.connectForever(ctx, a.uri)
	if err != nil {
		return err
	}
	defer s.close()
	return a.serveConsole(ctx, s, f, cfg, func(url string) { a.printf("%s\n", url) })
}

// serveConsole serves until ctx ends; up is told the address.
func (a *app) serveConsole(ctx context.Context, s *store, f *consoleFlags, cfg console.Config, up func(url string)) error {
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w; --console-addr names another address", err)
		}
		return err
	}
	scheme := "http"
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			_ = listener.Close()
			return usageError("--tls-cert, --tls-key: %w", err)
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
		scheme = "https"
	}
	c, err := console.Open(ctx, s.db, cfg)
	if err != nil {
		_ = listener.Close()
		return err
	}
	web := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: nil}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	url := fmt.Sprintf("%s://%s%s/", scheme, listener.Addr(), cfg.Base)
	zerolog.Ctx(ctx).Info().Str("url", url).Msg("the console is up")
	up(url)

	running, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- c.Run(running) }()
	select {
	case <-ctx.Done():
		err = nil
	case err = <-served:
	}
	stop()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	errRun := <-ran // which ends the open streams
	if web.Shutdown(bounded) != nil {
		_ = web.Close()
	}
	return errors.Join(err, errRun)
}

func (a *app) hashPasswordCommand() *cobra.Command {
	return &cobra.Command{
		Use: "hash-password", Args: noArgs,
		Short: "Print the hash of a password, for the file of --users",
		Long: `Print the bcrypt hash of a password for the file of --users. The password is read
from the terminal, or from standard input.`,
		RunE: func(*cobra.Command, []string) error {
			password, err := a.readPassword()
			if err != nil {
				return err
			}
			hash, err := console.HashPassword(password)
			if err != nil {
				return usageError("%w", err)
			}
			a.printf("%s\n", hash)
			return nil
		},
	}
}

// readPassword reads a password: twice from a terminal, which does not show it; else the
// first line.
func (a *app) readPassword() (string, error) {
	file, ok := a.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		if a.Stdin == nil {
			return "", usageError("there is no standard input")
		}
		text, err := io.ReadAll(io.LimitReader(a.Stdin, 1<<10))
		line, _, _ := strings.Cut(string(text), "\n")
		return strings.TrimSuffix(line, "\r"), err
	}
	ask := func(what string) (string, error) {
		a.say("%s: ", what)
		text, err := term.ReadPassword(int(file.Fd()))
		a.say("\n")
		return string(text), err
	}
	first, err := ask("password")
	if err != nil {
		return "", err
	}
	again, err := ask("again")
	if err == nil && first != again {
		err = usageError("the two are not the same")
	}
	return first, err
}
