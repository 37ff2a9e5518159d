package console

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/fleetcast/fleetcast/event"
)

// Role is what a user may do. Each may do what those before it may:
//
//   - Viewer: read everything but secrets, and ask servers for what changes nothing
//     (ping, the settings in force).
//   - Operator: everything that is done to the fleet in an incident (pause, resume,
//     quiet, stop, kill, resize, thread dumps, log levels, refresh of the settings, user
//     events), and actions of the application's own subscribers.
//   - Admin: run commands on servers (exec), change settings, remove lost servers from
//     the registry, publish parameters that no table describes.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// roles in their order.
var roles = []Role{Viewer, Operator, Admin}

// ParseRole reads a role.
func ParseRole(text string) (Role, error) {
	if role := Role(text); slices.Contains(roles, role) {
		return role, nil
	}
	return "", fmt.Errorf("%q is no role: choose viewer, operator or admin", text)
}

// permission is something that a role allows.
type permission string

const (
	mayRead       permission = "read"        // all pages
	mayAsk        permission = "ask"         // actions that change nothing
	mayOperate    permission = "operate"     // actions of the subscribers
	mayExec       permission = "exec"        // run commands on servers
	mayConfigure  permission = "configure"   // change settings
	mayPurge      permission = "purge"       // remove lost servers from the registry
	mayPublishAny permission = "publish_any" // parameters that no table describes
)

// permissions is who may do what, and docs/console.md shows it. The last column is what
// a read-only console leaves.
var permissions = []struct {
	permission permission
	least      Role
	readOnly   bool
	doc        string
}{
	{mayRead, Viewer, true, "all pages and the API's GET requests; secrets are masked for everybody"},
	{mayAsk, Viewer, true, "actions that change nothing: `server ping`, `config list`"},
	{mayOperate, Operator, false, "`server`, `worker`, `logger`, `config refresh`, user events, and the application's own subscribers"},
	{mayExec, Admin, false, "`exec`: commands on the servers that allow them"},
	{mayConfigure, Admin, false, "set and unset settings"},
	{mayPurge, Admin, false, "remove lost servers from the registry"},
	{mayPublishAny, Admin, false, "parameters that no action table describes"},
}

// User is who makes a request.
type User struct {
	Name string
	Role Role
}

// allows reports whether the user may do that.
func (c *Console) allows(u User, p permission) bool {
	for _, row := range permissions {
		if row.permission == p {
			return slices.Index(roles, u.Role) >= slices.Index(roles, row.least) && (row.readOnly || !c.cfg.ReadOnly)
		}
	}
	return false
}

// check refuses what the user may not do.
func (c *Console) check(u User, p permission) error {
	switch {
	case c.allows(u, p):
		return nil
	case c.cfg.ReadOnly:
		return &pageError{http.StatusForbidden, "this console is read-only: nothing can be changed here"}
	}
	for _, row := range permissions {
		if row.permission == p {
			return &pageError{http.StatusForbidden, fmt.Sprintf("%s has the role %s, and this needs %s", u.Name, u.Role, row.least)}
		}
	}
	return &pageError{http.StatusForbidden, "this is not allowed"}
}

// permissionFor is what publishing an event needs.
func permissionFor(e event.Event) permission {
	switch {
	case e.Name == "server" && e.Action == "ping", e.Name == "config" && e.Action == "list":
		return mayAsk
	case e.Name == "exec":
		return mayExec
	}
	return mayOperate
}
