package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetcast/fleetcast/console"
)

// proxyFlags are of a console behind a proxy that has a login.
type proxyFlags struct {
	user, role, fallback string
	trusted              []string
}

func (f *proxyFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.user, "proxy-user-header", "", "header in which a proxy says who is logged in")
	fl.StringVar(&f.role, "proxy-role-header", "", "header in which it says the role")
	fl.StringVar(&f.fallback, "proxy-role", string(console.Viewer), "role of users of whom the proxy says none")
	fl.StringSliceVar(&f.trusted, "trusted-proxy", []string{"127.0.0.0/8", "::1/128"}, "addresses that the proxy comes from (repeatable)")
	completeWords(cmd, "proxy-role", string(console.Viewer), string(console.Operator), string(console.Admin))
}

// authenticate returns what believes the proxy; nil without one.
func (f *proxyFlags) authenticate() (func(*http.Request) (console.User, error), error) {
	if f.user == "" {
		if f.role != "" {
			return nil, usageError("--proxy-role-header needs --proxy-user-header")
		}
		return nil, nil
	}
	fallback, err := console.ParseRole(f.fallback)
	if err != nil {
		return nil, usageError("--proxy-role: %w", err)
	}
	var trusted []netip.Prefix
	for _, text := range f.trusted {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usageError("--trusted-proxy %q: write it as 10.0.0.0/24", text)
		}
		trusted = append(trusted, p)
	}
	return func(r *http.Request) (u console.User, err error) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(from.Addr().Unmap()) }) {
			return u, fmt.Errorf("requests come through the proxy: %s is not --trusted-proxy", r.RemoteAddr)
		}
		u = console.User{Name: strings.TrimSpace(r.Header.Get(f.user)), Role: fallback}
		if u.Name == "" {
			return u, errors.New("the proxy does not say who is logged in: header " + f.user + " is missing")
		}
		if text := r.Header.Get(f.role); f.role != "" && text != "" {
			u.Role, err = console.ParseRole(text)
		}
		return u, err
	}, nil
}
