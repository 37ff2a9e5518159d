package config

// Reparse parses a plain value and shows it.
func Reparse(typ string, v any) (any, error) {
	parsed, err := parse(typ, v)
	if err != nil {
		return nil, err
	}
	return show(parsed), nil
}

// Written is how a default is written.
var Written = write

// Redirect gives settings that do not run yet another collection, as if the database
// were there now.
func Redirect(s *Settings, store *Store) { s.cfg.Store = store }
