package server

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// AuditCollection is the name of the collection that records acts.
const AuditCollection = "audit"

// DefaultAuditKeep is how long an act is on record unless a server is configured
// otherwise.
const DefaultAuditKeep = 90 * 24 * time.Hour

// auditTTL is the index that removes old entries.
const auditTTL = "fleetcast_audit_keep"

// trail is the collection of what was done.
type trail struct {
	coll *mongo.Collection
	keep time.Duration // 0: as it is, or the default
	once sync.Once
}

func checkAuditKeep(keep time.Duration) error {
	if keep != 0 && (keep < time.Minute || keep.Seconds() > math.MaxInt32) {
		return fmt.Errorf("server.Config.AuditKeep is %s: at least a minute and at most 68 years, or 0 to leave it as it is", keep)
	}
	return nil
}

// ensureOnce creates the index if there is none. It is of no matter to the act at
// hand whether that succeeds: a publisher may lack the right to.
func (t *trail) ensureOnce(ctx context.Context) {
	t.once.Do(func() { t.keepAs(ctx) })
}

// keepAs makes the index as it is configured, and warns if it cannot. It tries
// again: between two processes that change it at once, after a fail-over, and
// because FerretDB may find an index that has just been dropped.
func (t *trail) keepAs(ctx context.Context) {
	err := t.ensure(ctx)
	for delay := 20 * time.Millisecond; err != nil && !isUnauthorized(err) && delay < 200*time.Millisecond && sleep(ctx, delay); delay *= 2 {
		err = t.ensure(ctx)
	}
	if err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("entries of the collection " + AuditCollection + " may be kept too long")
	}
}

// ensure creates the index, or another in its place when another time is wanted:
// that needs no more rights than creating it did.
func (t *trail) ensure(ctx context.Context) error {
	is, err := t.kept(ctx)
	switch {
	case err != nil:
		return err
	case is != 0 && (t.keep == 0 || is == t.keep.Truncate(time.Second)):
		return nil
	case is != 0:
		if err := t.coll.Indexes().DropOne(ctx, auditTTL); err != nil {
			return fmt.Errorf("drop the TTL index %s, which keeps entries for %s: %w", auditTTL, is, err)
		}
		zerolog.Ctx(ctx).Info().Dur("before_ms", is).Dur("now_ms", t.keep).Msg("the audit is kept for another time")
	}
	_, err = t.coll.Indexes().CreateOne(ctx, mongo.IndexModel{
		Keys:    bson.D{{Key: "at", Value: 1}},
		Options: options.Index().SetName(auditTTL).SetExpireAfterSeconds(int32(cmp.Or(t.keep, DefaultAuditKeep).Seconds())),
	})
	if err != nil {
		if is, _ := t.kept(ctx); is != 0 { // another process was faster
			return nil
		}
		return fmt.Errorf("create the TTL index of %s: %w", AuditCollection, err)
	}
	return nil
}

// kept returns how long entries are kept, 0 when there is no index yet.
func (t *trail) kept(ctx context.Context) (time.Duration, error) {
	specs, err := t.coll.Indexes().ListSpecifications(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the indexes of %s: %w", AuditCollection, err)
	}
	for _, spec := range specs {
		if spec.Name == auditTTL && spec.ExpireAfterSeconds != nil {
			return time.Duration(*spec.ExpireAfterSeconds) * time.Second, nil
		}
	}
	return 0, nil
}
