package console

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// Users are those who may log in. It is safe for concurrent use, and does not change.
type Users struct {
	byName map[string]account
}

// account is a user of the file.
type account struct {
	Name     string `yaml:"name"`
	Role     Role   `yaml:"role"`
	Password string `yaml:"password"` // a bcrypt hash
}

// ReadUsers reads a file of users:
//
//	users:
//	  - name: alice
//	    role: operator
//	    password: $2a$12$…
//
// Passwords are bcrypt hashes, as HashPassword and htpasswd -B make them. All faults of
// the file are in the error.
func ReadUsers(path string) (*Users, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	u, err := parseUsers(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return u, nil
}

func parseUsers(text []byte) (*Users, error) {
	var file struct {
		Users []account `yaml:"users"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	u := &Users{byName: map[string]account{}}
	var faults []error
	for i, a := range file.Users {
		switch _, err := ParseRole(string(a.Role)); {
		case a.Name == "" || strings.ContainsFunc(a.Name, func(r rune) bool { return r <= ' ' || r == ':' }):
			faults = append(faults, fmt.Errorf("user %d: the name %q is empty, or has blanks or a colon", i+1, a.Name))
		case err != nil:
			faults = append(faults, fmt.Errorf("user %s: %w", a.Name, err))
		case u.byName[a.Name].Name != "":
			faults = append(faults, fmt.Errorf("user %s is there twice", a.Name))
		}
		if cost, err := bcrypt.Cost([]byte(a.Password)); err != nil {
			faults = append(faults, fmt.Errorf("user %s: the password is no bcrypt hash: `fleetcast console hash-password` makes one", a.Name))
		} else if cost < bcrypt.DefaultCost {
			faults = append(faults, fmt.Errorf("user %s: the hash's cost of %d is too low, at least %d", a.Name, cost, bcrypt.DefaultCost))
		}
		u.byName[a.Name] = a
	}
	if len(file.Users) == 0 {
		faults = append(faults, errors.New("there are no users in it"))
	}
	return u, errors.Join(faults...)
}

// hashCost is that of HashPassword: some 200 ms.
const hashCost = 12

// HashPassword returns the bcrypt hash of a password, of 8 bytes at least and 72 at most.
func HashPassword(password string) (string, error) {
	switch {
	case len(password) < 8:
		return "", errors.New("the password is shorter than 8 characters")
	case len(password) > 72:
		return "", errors.New("the password is longer than 72 bytes, of which bcrypt would look at the first 72 alone")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), hashCost)
	return string(hash), err
}

// nobody's password takes as long to compare as anybody's.
var nobodysHash = []byte("$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW")

// login returns the user with this name and password.
func (u *Users) login(name, password string) (User, bool) {
	a, ok := u.byName[name]
	hash := []byte(a.Password)
	if !ok {
		hash = nobodysHash
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !ok {
		return User{}, false
	}
	return User{a.Name, a.Role}, true
}
