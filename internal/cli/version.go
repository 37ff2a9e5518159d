package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases.
var version = "dev"

type versionOutput struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Args: noArgs, Short: "Print the version",
		RunE: func(*cobra.Command, []string) error {
			out := versionOutput{
				Version: version, Revision: revision(), Go: runtime.Version(),
				Platform: runtime.GOOS + "/" + runtime.GOARCH,
			}
			if a.output != "text" {
				return a.printJSON(out)
			}
			a.printf("fleetcast %s (%s, %s)\n", versionText(), out.Go, out.Platform)
			return nil
		},
	}
}

// versionText is what a server shows in the registry.
func versionText() string {
	if r := revision(); r != "" && version == "dev" {
		return version + "-" + r
	}
	return version
}

// revision is the commit that the binary was built from, when it is known.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 8 {
			return s.Value[:8]
		}
	}
	return ""
}
