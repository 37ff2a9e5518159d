package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/internal/output"
)

func (a *app) configKeygenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "keygen", Args: noArgs,
		Short: "Make a key that secret settings are encrypted with",
		Long: `Print a new key for secret settings: 32 random bytes in base64. Give it to the servers, and
to those who set or reveal secrets, in ` + config.KeyVariable + ` or in a file that
` + config.KeyFileVariable + ` names. It is kept nowhere: whoever loses it loses
the secrets.`,
		Example: `  (umask 077; fleetcast config keygen > settings.key)
  export ` + config.KeyFileVariable + `=$PWD/settings.key`,
		RunE: func(*cobra.Command, []string) error {
			var key [32]byte
			_, _ = rand.Read(key[:]) // which never fails
			text := base64.StdEncoding.EncodeToString(key[:])
			if a.output == "text" {
				a.printf("%s\n", text)
				return nil
			}
			return a.printJSON(map[string]string{"key": text})
		},
	}
}

// resealOutput is what reseal prints in JSON.
type resealOutput struct {
	Resealed int    `json:"resealed"` // how many
	Key      string `json:"key"`      // the name of the key that they are encrypted with
}

func (a *app) configResealCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reseal", Args: noArgs,
		Short: "Encrypt the secret settings with the first key, to replace another",
		Long: `Encrypt the secret settings with the first of the keys in ` + config.KeyVariable + `, or
in the file that ` + config.KeyFileVariable + ` names, where another was used. To
replace a key: put the new one behind the old one, everywhere, and restart the servers;
put it first here, and reseal; then remove the old one everywhere. Former versions in
the history stay as they are: no one can read them without the old key.`,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		keys, err := config.KeyringFromEnv(func(name string) string { v, _ := a.Env(name); return v })
		if err != nil {
			return usageError("%w", err)
		}
		if keys == nil {
			return usageError("there is no key: set %s or %s", config.KeyVariable, config.KeyFileVariable)
		}
		return a.withSettings(cmd.Context(), func(_ context.Context, s *fleetSettings) error {
			return a.configReseal(cmd.Context(), s, keys.IDs()[0]) // there may be many
		})
	}
	return cmd
}

func (a *app) configReseal(ctx context.Context, s *fleetSettings, key string) error {
	known, err := s.Rules(ctx)
	if err != nil {
		return err
	}
	out := resealOutput{Key: key}
	err = s.Perform(ctx, "reseal", "", bson.D{{Key: "key", Value: key}}, func(ctx context.Context) (err error) {
		out.Resealed, err = s.Reseal(ctx, known.Declarations)
		return err
	})
	if err != nil {
		a.say("%s encrypted before that\n", output.Plural(out.Resealed, "secret setting"))
		return err
	}
	if a.output != "text" {
		return a.printJSON(out)
	}
	a.printf("%s encrypted with the key %s\n", output.Plural(out.Resealed, "secret setting"), key)
	return nil
}
