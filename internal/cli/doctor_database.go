package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

// What is worth a warning.
const (
	farAway   = 50 * time.Millisecond // each event and answer takes at least that twice
	skewed    = 5 * time.Second       // of this host's clock
	shortPast = 10 * time.Minute      // of events, in a collection that is full
	nearlyAll = 0.95
)

// examineDatabase looks at its version, its kind, how far it is, and its clock.
func (d *doctor) examineDatabase(ctx context.Context) {
	var build struct {
		Version string `bson:"version"`
	}
	var hello struct {
		SetName string `bson:"setName"`
		Msg     string `bson:"msg"`
	}
	err := d.db.RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&build)
	if err == nil {
		err = d.db.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
	}
	away, skew, errTime := d.distance(ctx)
	if err = errors.Join(err, errTime); err != nil {
		d.broken("database", "see the error", "%v", err)
		return
	}
	kind := "standalone"
	switch {
	case hello.Msg == "isdbgrid":
		kind = "sharded"
	case hello.SetName != "":
		kind = "replica set " + hello.SetName
	}
	found := fmt.Sprintf("version %s, %s, at %s; %s away", build.Version, kind, d.hosts, output.Short(away))
	switch {
	case older(build.Version, 4, 4):
		d.broken("database", "MongoDB 4.4 or later is needed", "%s", found)
	case away > farAway:
		d.warn("database", "every event and every answer takes that time at least twice: run near the database", "%s", found)
	default:
		d.ok("database", "%s", found)
	}
	if skew.Abs() > skewed {
		d.warn("clock", "stops, lag and expiry are judged by the database's clock alone, but logs of this host show another time: see to its NTP",
			"this host is %s %s", output.Short(skew.Abs()), map[bool]string{true: "ahead", false: "behind"}[skew > 0])
		return
	}
	d.ok("clock", "this host and the database differ by less than %s", output.Short(max(skew.Abs()+away, time.Millisecond)))
}

// distance is the median round trip, and how much this host's clock is ahead of the
// database's, by the quickest of them.
func (d *doctor) distance(ctx context.Context) (median, ahead time.Duration, err error) {
	var took []time.Duration
	for range 5 {
		start := time.Now()
		now, err := event.StoreTime(ctx, d.db)
		if err != nil {
			return 0, 0, err
		}
		trip := time.Since(start)
		if len(took) == 0 || trip < slices.Min(took) {
			ahead = start.Add(trip / 2).Sub(now)
		}
		took = append(took, trip)
	}
	slices.Sort(took)
	return took[len(took)/2], ahead, nil
}

// older reports whether a version is before major.minor; one that cannot be read is not.
func older(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	is, err1 := strconv.Atoi(first)
	and, err2 := strconv.Atoi(second)
	return err1 == nil && err2 == nil && (is < major || is == major && and < minor)
}

// privilege is what connectionStatus tells of a login,
// https://www.mongodb.com/docs/manual/reference/command/connectionStatus/.
type privilege struct {
	Resource struct {
		DB          *string `bson:"db"`
		Collection  *string `bson:"collection"`
		AnyResource bool    `bson:"anyResource"`
	} `bson:"resource"`
	Actions []string `bson:"actions"`
}

// allows reports whether it has an action on a collection. An empty name in a
// resource means all of them.
func (p privilege) allows(action, db, collection string) bool {
	r := p.Resource
	on := r.AnyResource || r.DB != nil && r.Collection != nil &&
		(*r.DB == "" || *r.DB == db) && (*r.Collection == "" || *r.Collection == collection)
	return on && slices.Contains(p.Actions, action)
}

// needed is what servers and consoles do with the collections.
var needed = []struct {
	collections, actions []string
}{
	{[]string{event.EventsCollection, event.RepliesCollection}, []string{"createCollection", "find", "insert"}},
	{
		[]string{
			server.ServersCollection, server.ActionsCollection, server.HoldsCollection, server.AuditCollection,
			config.Collection, event.SubscriptionsCollection,
		},
		[]string{"createIndex", "find", "insert", "remove", "update"},
	},
}

// lacking lists the actions that no privilege has.
func lacking(privileges []privilege, db string) (list []string) {
	for _, need := range needed {
		for _, collection := range need.collections {
			for _, action := range need.actions {
				if !slices.ContainsFunc(privileges, func(p privilege) bool { return p.allows(action, db, collection) }) {
					list = append(list, action+" on "+collection)
				}
			}
		}
	}
	return list
}

// examineRights looks at what the login may do, and whether there is one.
func (d *doctor) examineRights(ctx context.Context) {
	var status struct {
		Auth struct {
			Users []struct {
				User string `bson:"user"`
				DB   string `bson:"db"`
			} `bson:"authenticatedUsers"`
			Privileges []privilege `bson:"authenticatedUserPrivileges"`
		} `bson:"authInfo"`
	}
	err := d.db.RunCommand(ctx, bson.D{{Key: "connectionStatus", Value: 1}, {Key: "showPrivileges", Value: true}}).Decode(&status)
	switch users := status.Auth.Users; {
	case err != nil:
		d.warn("rights", "servers, publishers and consoles need the role readWrite on the database", "the database does not tell: %v", err)
	case len(users) == 0 && !allLoopback(d.hosts):
		d.warn("rights", "let users log in: whoever reaches the database can stop the fleet", "no login")
	case len(users) == 0:
		d.ok("rights", "no login; the database is on this host")
	default:
		missing := lacking(status.Auth.Privileges, d.db.Name())
		if who := users[0].User + "@" + users[0].DB; len(missing) > 0 {
			d.broken("rights", "grant the role readWrite on "+d.db.Name(), "%s may not: %s", who, some(missing))
		} else {
			d.ok("rights", "%s may do all that is needed", who)
		}
	}
}

// allLoopback reports whether a list of hosts, as in a URI, is this one alone.
func allLoopback(hosts string) bool {
	for host := range strings.SplitSeq(hosts, ",") {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		ip := net.ParseIP(host)
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// examineLogs looks at the collections of events and replies, and reports whether
// they can be used.
func (d *doctor) examineLogs(ctx context.Context, used bool) bool {
	usable := true
	for _, name := range []string{event.EventsCollection, event.RepliesCollection} {
		usable = d.examineLog(ctx, name, used) && usable
	}
	return usable
}

func (d *doctor) examineLog(ctx context.Context, name string, used bool) bool {
	specs, err := d.db.ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: name}})
	switch {
	case err != nil:
		d.broken(name, "see the error", "%v", err)
		return false
	case len(specs) == 0 && used:
		d.broken(name, "restart a server, which makes it; all listeners have told of a gap", "the collection is gone, though servers use it")
		return false
	case len(specs) == 0:
		d.ok(name, "not there yet: the first server makes it")
		return false
	}
	if _, err := event.OpenLog(ctx, d.db, name, d.log); err != nil {
		d.broken(name, "rename or drop that collection, or name another database in the URI", "%v", err)
		return false
	}
	capped, _ := specs[0].Options.Lookup("capped").BooleanOK()
	order := "ts" // which has an index there
	if capped {
		order = "$natural"
	}
	past, err := d.past(ctx, name, order)
	if err != nil {
		d.broken(name, "see the error", "%v", err)
		return false
	}
	if !capped {
		d.ok(name, "an ordinary collection, which is polled; %s", past)
		return true
	}
	d.examineSize(ctx, name, past)
	return true
}

// examineSize says how full a capped collection is.
func (d *doctor) examineSize(ctx context.Context, name string, past reach) {
	var stats struct {
		Size    float64 `bson:"size"`
		MaxSize float64 `bson:"maxSize"`
		Count   int64   `bson:"count"`
	}
	if err := d.db.RunCommand(ctx, bson.D{{Key: "collStats", Value: name}}).Decode(&stats); err != nil {
		d.warn(name, "see the error", "capped; its size is not known: %v", err)
		return
	}
	full := stats.Size / max(stats.MaxSize, 1)
	found := fmt.Sprintf("capped, %.0f%% of %.0f MiB, %s; %s", 100*full, stats.MaxSize/(1<<20), output.Plural(int(stats.Count), "document"), past)
	if full >= nearlyAll && past.has && past.age < shortPast {
		d.warn(name, "a listener that is away for longer misses events, and says so: make it larger, see docs/operations.md", "%s", found)
		return
	}
	d.ok(name, "%s", found)
}

// reach is how far back a collection goes.
type reach struct {
	has bool
	age time.Duration
}

func (r reach) String() string {
	if !r.has {
		return "empty"
	}
	return "reaches " + output.Short(r.age) + " back"
}

// past looks at the oldest document.
func (d *doctor) past(ctx context.Context, name, order string) (reach, error) {
	now, err := event.StoreTime(ctx, d.db)
	if err != nil {
		return reach{}, err
	}
	var oldest struct {
		At bson.Timestamp `bson:"ts"`
	}
	err = d.db.Collection(name).FindOne(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: order, Value: 1}})).Decode(&oldest)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return reach{}, nil
	}
	return reach{err == nil, max(0, now.Sub(time.Unix(int64(oldest.At.T), 0)))}, err
}
