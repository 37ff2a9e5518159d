package config

// Layer is where a value comes from. A higher layer wins.
type Layer string

// The layers, the lowest first.
const (
	LayerDefault  Layer = "default"     // of the declaration
	LayerFile     Layer = "file"        // YAML
	LayerSettings Layer = "settings"    // the collection: global < environment < label < server
	LayerEnv      Layer = "environment" // variables
	LayerFlag     Layer = "flag"        // of the command line
)

// Origin says where a value comes from.
type Origin struct {
	Layer Layer `bson:"layer" json:"layer"`
	// Name is the place in the layer: a file and a line, a [Scope], a variable, a flag.
	Name string `bson:"name,omitempty" json:"name,omitempty"`
	// File is the file that the value was read from, of a value such as @/run/secrets/smtp.
	File string `bson:"file,omitempty" json:"file,omitempty"`
}

// String returns words such as "file /etc/app.yaml:12".
func (o Origin) String() string {
	text := string(o.Layer)
	if o.Name != "" {
		text += " " + o.Name
	}
	if o.File != "" {
		text += " (@" + o.File + ")"
	}
	return text
}
