package settings

import (
	"testing"
	"time"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
	"github.com/stretchr/testify/require"
)

func TestConcernedAreThoseOfTheScope(t *testing.T) {
	web := &event.Identity{Name: "web-1", Labels: map[string]string{"zone": "eu"}}
	odd := &event.Identity{Name: `[w]*?\`, Labels: map[string]string{"zone": "*"}}
	for scope, want := range map[config.Scope][]bool{
		config.Global:                   {true, true},
		config.InEnvironment("x"):       {true, true},
		config.OnServer("web-1"):        {true, false},
		config.OnServer("web-*"):        {false, false},
		config.OnServer(`[w]*?\`):       {false, true},
		config.WithLabel("zone", "*"):   {false, true},
		config.WithLabel("zone", "eu"):  {true, false},
		config.WithLabel("other", "eu"): {false, false},
	} {
		target := Concerned(scope)
		require.NoError(t, target.Validate(), scope)
		for i, id := range []*event.Identity{web, odd} {
			meant, err := target.Matches(id)
			require.NoError(t, err)
			require.Equal(t, want[i], meant, "%s and %s", scope, id.Name)
		}
	}
}

func TestDeclaredByServers(t *testing.T) {
	port := config.Declaration{Path: "app/port", Type: config.Integer}
	text := config.Declaration{Path: "app/port", Type: config.Text}
	host := config.Declaration{Path: "app/host", Type: config.Text}
	a := server.Entry{Name: "a", Settings: []config.Declaration{port, host}}
	b := server.Entry{Name: "b", Settings: []config.Declaration{port}}
	old := server.Entry{Name: "old", Settings: []config.Declaration{text}, Age: time.Hour}
	require.Equal(t, []Declared{{host, []string{"a"}}, {port, []string{"a", "b"}}}, declaredByAny([]server.Entry{a, b, old}))
	require.Equal(t, []Declared{{text, []string{"old"}}}, declaredByAny([]server.Entry{old}), "better than nothing")
	require.Empty(t, declaredByAny(nil))

	r := Rules{Declarations: []config.Declaration{port}}
	require.False(t, r.Free("app/prot"))
	r.Unchecked = true
	require.True(t, r.Free("app/prot"))
	require.False(t, r.Free("fleetcast/max_wrokers"), "these are known without any server")
}
