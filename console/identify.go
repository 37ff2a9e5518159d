package console

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/fleetcast/fleetcast/event"
)

// identify finds out who makes a request.
func (c *Console) identify(r *request) (err error) {
	switch {
	case c.cfg.Authenticate != nil:
		if r.user, err = c.cfg.Authenticate(r.Request); err != nil {
			return &pageError{http.StatusUnauthorized, err.Error()}
		}
		return nil
	case c.cfg.Users != nil:
		return c.loggedIn(r)
	}
	if err := fromHere(r.Request); err != nil {
		return err
	}
	r.user = User{Name: event.ThisProcess().User, Role: Admin}
	return nil
}

// fromHere refuses requests that do not come from this machine, and those that a page of
// another site has sent here by giving its own name this machine's address (DNS
// rebinding).
func fromHere(r *http.Request) error {
	const advice = "a console without a login serves its own machine alone: open it at 127.0.0.1, or give it a login (docs/console.md)"
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		return &pageError{http.StatusForbidden, fmt.Sprintf("request from %s: %s", r.RemoteAddr, advice)}
	}
	if !isHere(r.Host) {
		return &pageError{http.StatusMisdirectedRequest, fmt.Sprintf("request for the host %q: %s", r.Host, advice)}
	}
	return nil
}

// isHere reports whether a host, with a port or without, is this machine by name.
func isHere(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(trimBrackets(host))
	return err == nil && addr.IsLoopback()
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
