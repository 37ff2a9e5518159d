package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// serveMetrics serves the handler until stop is called, which also waits for the
// end. Without an address it does nothing.
func serveMetrics(ctx context.Context, addr string, handler http.Handler) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--metrics-addr: %w; choose another address, port 0 takes a free one", err)
	}
	log := zerolog.Ctx(ctx)
	log.Info().Str("url", "http://"+listener.Addr().String()+"/metrics").Msg("serving metrics")
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error().Err(err).Msg("the metrics are no longer served")
		}
	})
	return func() { _ = srv.Close(); serving.Wait() }, nil
}
