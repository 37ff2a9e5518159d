package browser_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/console"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// TestScreenshots writes the pictures of the documentation into the folder that
// FLEETCAST_SCREENSHOTS names; `make screenshots` does.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("FLEETCAST_SCREENSHOTS")
	if dir == "" {
		t.Skip("FLEETCAST_SCREENSHOTS names no folder: `make screenshots` takes the pictures")
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	s := newSite(t, console.Config{Users: users(t)})
	for i := range 12 {
		name, zone := fmt.Sprintf("web-%d", i+1), "eu-west"
		if i >= 8 {
			name, zone = fmt.Sprintf("print-%d", i-7), "eu-north"
		}
		live, err := config.Open(t.Context(), config.Config{Store: config.NewStore(s.db, config.StoreConfig{}), Member: config.Member{Server: name}})
		require.NoError(t, err)
		s.start(name, func(cfg *server.Config) {
			cfg.Bus.Identity.Labels = map[string]string{"zone": zone}
			cfg.Version, cfg.Settings = "2.4.1", live
			cfg.Pool.Workers = 4
			if i == 9 {
				cfg.Pool.StuckAfter = 2 * time.Second
			}
			if i == 3 {
				cfg.Version = "2.4.0"
			}
		})
	}
	now, err := event.StoreTime(t.Context(), s.db)
	require.NoError(t, err)
	_, err = s.db.Collection(server.ServersCollection).InsertOne(t.Context(), bson.D{
		{Key: "_id", Value: bson.NewObjectID()}, {Key: "name", Value: "web-9"}, {Key: "host", Value: "host-9"}, {Key: "pid", Value: 812}, {Key: "version", Value: "2.4.1"},
		{Key: "lifecycle", Value: "running"}, {Key: "labels", Value: bson.M{"zone": "eu-west"}}, {Key: "consumer", Value: true},
		{Key: "heartbeat", Value: bson.D{{Key: "at", Value: now.Add(-11 * time.Minute)}, {Key: "state", Value: "listening"}, {Key: "interval_ms", Value: int64(15_000)},
			{Key: "workers", Value: bson.A{bson.M{"id": 1, "state": "idle"}, bson.M{"id": 2, "state": "idle"}}}}},
	})
	require.NoError(t, err)

	b := s.open("/login")
	shot := func(name string) {
		t.Helper()
		png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
	}
	b.dark(false)
	shot("login")
	b.login("alice", "correct horse")
	s.publish("server", "pause", event.Target{Names: []string{"web-5"}})
	s.publish("server", "ping", event.Target{Labels: map[string]string{"zone": "eu-north"}})
	s.await("a stuck worker", func() bool {
		b.visit("/?state=attention")
		return eval[int](b, `document.querySelectorAll("#rows tr").length`) > 1
	})
	b.visit("/")
	b.met(`document.getElementById("live-state").textContent === "live"`)
	b.tick("web-2")
	b.tick("web-3")
	shot("fleet")
	b.dark(true)
	shot("fleet-dark")
	b.dark(false)
	b.size(360, 740)
	shot("fleet-narrow")
	b.size(1280, 900)
	b.visit("/servers/" + s.id("print-2"))
	shot("server")
	b.visit("/?label=zone%3Deu-north")
	require.True(t, eval[bool](b, `document.getElementById("all").click() === undefined`))
	b.click(`button[value="server kill"]`)
	shot("act")
	b.visit("/?q=web-1")
	require.True(t, eval[bool](b, `document.getElementById("all").click() === undefined`))
	b.click(`button[value="server ping"]`)
	b.click("button.primary")
	b.met(`document.querySelector("h1 .badge").textContent === "complete"`)
	shot("answers")
	b.dump()
	require.True(t, eval[bool](b, `(document.querySelector(".dump details") || {}).open !== undefined`))
	shot("dump")
	b.dump()
	b.click(`form[action="/compare"] button`)
	shot("compare")
	b.visit("/act?subscriber=logger&action=set")
	shot("publish")
	b.visit("/events")
	shot("events")
	b.visit("/settings/edit?path=fleetcast/max_workers")
	b.do(chromedp.SetValue(chromedp.CSS("[name=value]"), "6"))
	b.click("button.primary")
	b.met(`document.querySelector("h1 .badge").textContent === "complete"`)
	b.visit("/settings/edit?path=fleetcast/max_workers")
	shot("setting")
	b.visit("/settings")
	shot("settings")
	b.visit("/settings/history")
	shot("history")
	b.visit("/servers/" + s.id("web-1"))
	b.click(`form[action="/settings/effective"] button`)
	shot("effective")
	b.visit("/dumps")
	shot("dumps")
	b.visit("/act")
	shot("actions")
	b.visit("/audit")
	shot("audit")
}
