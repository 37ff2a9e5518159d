package cli

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/server"
)

// devServer is one server of the demo fleet, with its own logger.
type devServer struct {
	*server.Server
	log context.Context
}

// openDevServers opens the servers dev-1, dev-2 and so on.
func (a *app) openDevServers(ctx context.Context, s *store, fleet *fleetFlags, n int) ([]devServer, error) {
	if err := forgetPredecessors(ctx, s, n); err != nil {
		return nil, err
	}
	servers := make([]devServer, n)
	for i := range servers {
		levels, err := logging.New(a.logLevel)
		if err != nil {
			return nil, err
		}
		id := event.Identity{Name: devName(i), Labels: map[string]string{"fleet": "dev"}}
		srv, _, err := a.openServer(ctx, s, fleet, id, levels)
		if err != nil {
			return nil, err
		}
		servers[i] = devServer{Server: srv, log: a.logger(levels).WithContext(context.WithoutCancel(ctx))}
	}
	return servers, nil
}

func devName(i int) string { return fmt.Sprintf("dev-%d", i+1) }

// forgetPredecessors removes what a dev that did not end cleanly has left in the
// registry of its folder: the store is ours alone, so it cannot be running.
func forgetPredecessors(ctx context.Context, s *store, n int) error {
	names := bson.A{}
	for i := range n {
		names = append(names, devName(i))
	}
	_, err := s.db.Collection(server.ServersCollection).DeleteMany(ctx,
		bson.D{{Key: "name", Value: bson.D{{Key: "$in", Value: names}}}})
	return err
}

// runDevServer runs one server until ctx ends; that it is killed by an event is
// no failure of dev.
func (a *app) runDevServer(ctx context.Context, one devServer) error {
	running, stop := context.WithCancel(one.log)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	err := a.runServer(running, one.Server)
	if errors.Is(err, server.ErrKilled) && ctx.Err() == nil {
		return nil
	}
	return err
}
