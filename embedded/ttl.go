package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// ttlIndex is the part of a TTL index that FerretDB does not know.
type ttlIndex struct {
	DB         string `bson:"db"`
	Collection string `bson:"collection"`
	Name       string `bson:"name"`
	Field      string `bson:"field"`
	Seconds    int64  `bson:"seconds"`
}

// ttlIndexes are the TTL indexes of a store. It is safe for concurrent use.
type ttlIndexes struct {
	mu   sync.Mutex
	path string // of the file that keeps them; empty for a store in memory
	list []ttlIndex
}

type ttlFile struct {
	Indexes []ttlIndex `bson:"indexes"`
}

func loadTTL(path string) (*ttlIndexes, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &ttlIndexes{path: path}, nil
	}
	var f ttlFile
	if err == nil {
		err = bson.Unmarshal(b, &f)
	}
	if err != nil {
		return nil, fmt.Errorf("read the TTL indexes from %s: %w; delete the file to go on without them", path, err)
	}
	return &ttlIndexes{path: path, list: f.Indexes}, nil
}

// change replaces the list by what f makes of it.
func (t *ttlIndexes) change(f func([]ttlIndex) []ttlIndex) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := f(slices.Clone(t.list))
	if slices.Equal(next, t.list) {
		return nil
	}
	if t.path != "" {
		b, err := bson.Marshal(ttlFile{next})
		if err == nil {
			err = os.WriteFile(t.path+".new", b, 0o600)
		}
		if err == nil {
			err = os.Rename(t.path+".new", t.path)
		}
		if err != nil {
			return fmt.Errorf("remember a TTL index: %w", err)
		}
	}
	t.list = next
	return nil
}

func (t *ttlIndexes) add(indexes ...ttlIndex) error {
	return t.change(func(list []ttlIndex) []ttlIndex {
		for _, i := range indexes {
			list = slices.DeleteFunc(list, i.same)
			list = append(list, i)
		}
		return list
	})
}

func (t *ttlIndexes) remove(which func(ttlIndex) bool) error {
	return t.change(func(list []ttlIndex) []ttlIndex { return slices.DeleteFunc(list, which) })
}

func (t *ttlIndexes) all() []ttlIndex {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.list)
}

func (t *ttlIndexes) find(db, collection, name string) (ttlIndex, bool) {
	list := t.all()
	i := slices.IndexFunc(list, ttlIndex{DB: db, Collection: collection, Name: name}.same)
	if i < 0 {
		return ttlIndex{}, false
	}
	return list[i], true
}

func (i ttlIndex) same(o ttlIndex) bool {
	return i.DB == o.DB && i.Collection == o.Collection && i.Name == o.Name
}

// janitor deletes documents whose time is over and forgets idle cursors. Run
// starts it and waits for it.
func (st *Store) janitor(ctx context.Context) {
	sweeps := time.NewTicker(st.ttlInterval)
	defer sweeps.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-sweeps.C:
			st.cursors.sweep(now)
			st.expire(ctx, now)
		}
	}
}

func (st *Store) expire(ctx context.Context, now time.Time) {
	for _, i := range st.ttl.all() {
		before := now.Add(-time.Duration(i.Seconds) * time.Second)
		if err := st.deleteBefore(i, before); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Warn().Err(err).Str("collection", i.DB+"."+i.Collection).Msg("embedded store: delete expired documents")
		}
	}
}

func (st *Store) deleteBefore(i ttlIndex, t time.Time) error {
	st.writes.Lock()
	defer st.writes.Unlock()
	filter := bson.D{{Key: i.Field, Value: bson.D{{Key: "$lt", Value: bson.NewDateTimeFromTime(t)}}}}
	_, err := st.own.run(i.DB, bson.D{{Key: "delete", Value: i.Collection},
		{Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: filter}, {Key: "limit", Value: int32(0)}}}}})
	return err
}
