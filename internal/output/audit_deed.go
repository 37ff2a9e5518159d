package output

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/server"
)

// deed are the parameters of a change to settings, as they are in the audit.
type deed struct {
	Path     string       `bson:"path"`
	Scope    config.Scope `bson:"scope"`
	Value    any          `bson:"value"`
	Old      any          `bson:"old"`
	File     string       `bson:"file"`
	Settings bson.A       `bson:"settings"`
}

func deedOf(e server.AuditEntry) (d deed) {
	_ = bson.Unmarshal(e.Parameters, &d) // what is not as expected stays empty
	return d
}

// deedWords say what a deed was.
func deedWords(e server.AuditEntry) string {
	text, d := e.Subscriber+" "+e.Action, deedOf(e)
	switch {
	case e.Subscriber != "config":
		return withParameters(text, e)
	case d.Path != "" && e.Action == "set" && d.Old == nil:
		return text + " " + d.Path + " to " + Cell(d.Value)
	case d.Path != "" && e.Action == "set":
		return text + " " + d.Path + " " + Change(d.Old, d.Value)
	case d.Path != "" && d.Old != nil:
		return text + " " + d.Path + ", was " + Cell(d.Old)
	case d.Path != "":
		return text + " " + d.Path
	case d.File != "":
		return fmt.Sprintf("%s %s, %s", text, d.File, Plural(len(d.Settings), "setting"))
	}
	return text
}

// ToWhomInFull says who was meant; of a deed, whom it is for.
func ToWhomInFull(e server.AuditEntry) string {
	if scope := deedOf(e).Scope; e.Deed && scope != "" && scope != config.Global {
		return ScopeWords(scope)
	}
	return Describe(e.Target)
}
