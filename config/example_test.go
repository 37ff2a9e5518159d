package config_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/subscribers"
)

// Settings are declared where they are used, as package flag does. A program declares
// them without config.In, which keeps this example apart from others.
var (
	exampleKeys config.Keys

	batchSize = config.New("shop/batch_size", 50, config.In(&exampleKeys), config.Unit("orders"),
		config.Min(1), config.Doc("orders that are sent at once"))
	batchPause = config.New("shop/batch_pause", time.Second, config.In(&exampleKeys), config.Doc("between batches"))
)

// A program whose settings are changed while it runs. The command
//
//	fleetcast config set shop/batch_size 200 --refresh
//
// does for the whole fleet what the file does here for one process.
func Example() {
	dir, _ := os.MkdirTemp("", "")
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "shop.yaml")
	write := func(text string) { _ = os.WriteFile(file, []byte(text), 0o600) }
	write("shop: {batch_size: 100}")

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	settings, err := config.Open(ctx, config.Config{
		Keys: &exampleKeys,
		File: file, // in earnest also: Store: config.NewStore(db, config.StoreConfig{})
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(batchSize.Get(settings), batchPause.Get(settings))
	resized := make(chan bool)
	batchSize.OnChange(settings, func(old, new int) {
		fmt.Println("batches of", old, "become", new)
		close(resized)
	})
	ended := make(chan error)
	go func() { ended <- settings.Run(ctx) }() // tells of changes

	// The event "config refresh" makes every process load its settings anew.
	bus := event.NewBus(eventtest.NewLog(0), eventtest.NewLog(0), event.Config{}) // in earnest: event.Open
	if _, err := bus.Subscribe(subscribers.NewConfig(settings)); err != nil {
		fmt.Println(err)
	}
	go func() { ended <- bus.Run(ctx) }()
	<-bus.Listening()
	write("shop: {batch_size: 200}")
	if _, err := bus.Publish(ctx, event.New("config", "refresh", nil)); err != nil {
		fmt.Println(err)
	}
	<-resized

	write("shop: {batch_size: 0, batch_pause: soon}") // the old ones stay
	_, err = settings.Refresh(ctx)
	faults := err.(*config.FaultsError) //nolint:errorlint,forcetypeassert // it is one
	for _, fault := range faults.Faults {
		fault := fault.(*config.ValueError) //nolint:errorlint,forcetypeassert // likewise
		fmt.Println(fault.Path, "is", fault.Value+": expected", fault.Want)
	}
	fmt.Println(batchSize.Get(settings), batchPause.Get(settings))
	stop()
	fmt.Println(<-ended, <-ended)
	// Output:
	// 100 1s
	// batches of 100 become 200
	// shop/batch_pause is "soon": expected a duration such as 1m30s, or a number of seconds
	// shop/batch_size is 0: expected at least 1
	// 200 1s
	// <nil> <nil>
}

// What belongs together, and is not declared, is decoded into a struct.
func ExampleSettings_Decode() {
	settings, err := config.Open(context.Background(), config.Config{
		Keys:    &config.Keys{},
		Environ: []string{"SHOP_SMTP_HOST=mail.example.com", "SHOP_SMTP_TIMEOUT=30"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	smtp := struct {
		Host    string        `config:"host" validate:"required"`
		Port    int           `config:"port" validate:"min=1,max=65535"`
		Timeout time.Duration `config:"timeout"`
	}{Port: 25}
	if err := settings.Decode("shop/smtp", &smtp); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%s:%d within %s\n", smtp.Host, smtp.Port, smtp.Timeout)
	// Output:
	// mail.example.com:25 within 30s
}
