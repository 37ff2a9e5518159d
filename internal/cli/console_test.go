package cli

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/console"
)

func TestOnlyTrustedProxiesAreBelieved(t *testing.T) {
	f := proxyFlags{user: "X-User", role: "X-Role", fallback: "viewer", trusted: []string{"10.0.0.0/24"}}
	who, err := f.authenticate()
	require.NoError(t, err)
	for _, test := range []struct {
		from, user, role string
		want             console.User
		fault            string
	}{
		{"10.0.0.7:99", "alice", "admin", console.User{Name: "alice", Role: console.Admin}, ""},
		{"10.0.0.7:99", "bob", "", console.User{Name: "bob", Role: console.Viewer}, ""},
		{"[::ffff:10.0.0.7]:99", "bob", "", console.User{Name: "bob", Role: console.Viewer}, ""},
		{"10.0.1.7:99", "alice", "admin", console.User{}, "is not --trusted-proxy"},
		{"nonsense", "alice", "admin", console.User{}, "is not --trusted-proxy"},
		{"10.0.0.7:99", "", "admin", console.User{}, "header X-User is missing"},
		{"10.0.0.7:99", "bob", "boss", console.User{}, "is no role"},
	} {
		r := &http.Request{RemoteAddr: test.from, Header: http.Header{"X-User": {test.user}, "X-Role": {test.role}}}
		u, err := who(r)
		if test.fault != "" {
			require.ErrorContains(t, err, test.fault)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, test.want, u)
	}
}

func TestAddressesOfThisMachineAlone(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:8787": true, "localhost:1": true, "[::1]:1": true, "0.0.0.0:1": false, ":8787": false, "10.0.0.1:1": false, "example.org:1": false,
	} {
		require.Equal(t, want, isLoopback(addr), addr)
	}
}
