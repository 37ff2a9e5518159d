package config

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The environment variables of [KeyringFromEnv].
const (
	KeyVariable     = "FLEETCAST_SETTINGS_KEY"
	KeyFileVariable = "FLEETCAST_SETTINGS_KEY_FILE"
)

// keySize is that of AES-256, in bytes.
const keySize = 32

// Keyring has the keys that secret settings are encrypted with in the collection, by
// AES-256-GCM. The first one encrypts, all decrypt: to change the key, put the new one
// first, set the secrets again ([Store.Reseal]), and remove the old one. A nil
// Keyring has none. It is safe for concurrent use.
type Keyring struct {
	keys []sealKey
}

type sealKey struct {
	id   string
	aead cipher.AEAD
}

// ParseKeyring reads keys of 32 bytes in base64 or in hexadecimal, separated by blanks,
// commas or line ends. "openssl rand -base64 32" makes one. An empty text is nil.
func ParseKeyring(text string) (*Keyring, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r <= ' ' })
	if len(words) == 0 {
		return nil, nil
	}
	k := &Keyring{}
	for i, word := range words {
		secret, err := decodeKey(word)
		if err != nil {
			return nil, fmt.Errorf("key %d for secret settings: %w", i+1, err)
		}
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		k.keys = append(k.keys, sealKey{keyID(secret), aead})
	}
	return k, nil
}

// decodeKey does not repeat the text in its error: it may be nearly right.
func decodeKey(word string) ([]byte, error) {
	decoders := []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	}
	for _, decode := range decoders {
		if secret, err := decode(word); err == nil && len(secret) == keySize {
			return secret, nil
		}
	}
	return nil, errors.New("it must be 32 bytes in base64 or hexadecimal: openssl rand -base64 32")
}

// keyID names a key without telling anything of it: what is hashed is as random as
// the key.
func keyID(secret []byte) string {
	sum := sha256.Sum256(append([]byte("fleetcast settings key\x00"), secret...))
	return hex.EncodeToString(sum[:6])
}

// KeyringFromEnv reads the keys that FLEETCAST_SETTINGS_KEY has, or the file that
// FLEETCAST_SETTINGS_KEY_FILE names; nil when there is neither. getenv is os.Getenv
// when nil.
func KeyringFromEnv(getenv func(string) string) (*Keyring, error) {
	if getenv == nil {
		getenv = os.Getenv
	}
	text, file := getenv(KeyVariable), getenv(KeyFileVariable)
	switch {
	case text != "" && file != "":
		return nil, fmt.Errorf("%s and %s are both set: unset one of them", KeyVariable, KeyFileVariable)
	case file == "":
		k, err := ParseKeyring(text)
		return k, named(KeyVariable, err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, named(KeyFileVariable, err)
	}
	k, err := ParseKeyring(string(content))
	if err == nil && k == nil {
		err = fmt.Errorf("%s is empty", file)
	}
	return k, named(KeyFileVariable, err)
}

func named(variable string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	return nil
}

// Sealed is an encrypted value. It can be decrypted for its own path and scope alone.
type Sealed struct {
	Key  string `bson:"key" json:"key" yaml:"key"` // which one it was encrypted with, see [Keyring.IDs]
	Data []byte `bson:"data" json:"data" yaml:"data"`
}

// IDs names the keys, the one that encrypts first.
func (k *Keyring) IDs() []string {
	var ids []string
	if k != nil {
		for _, key := range k.keys {
			ids = append(ids, key.id)
		}
	}
	return ids
}

func (k *Keyring) seal(path string, scope Scope, value any) (Sealed, error) {
	if k == nil || len(k.keys) == 0 {
		return Sealed{}, fmt.Errorf("%s is secret: %w: set %s or %s, here and on all servers", path, ErrNoKey, KeyVariable, KeyFileVariable)
	}
	text, err := bson.Marshal(bson.D{{Key: "v", Value: value}})
	if err != nil {
		return Sealed{}, err
	}
	first := k.keys[0]
	return Sealed{first.id, first.aead.Seal(nil, nil, text, bound(path, scope))}, nil
}

// bound are the additional data, which tie a ciphertext to its place. Neither a path
// nor a kind of scope has a zero byte.
func bound(path string, scope Scope) []byte {
	return []byte("fleetcast setting\x00" + path + "\x00" + string(scope))
}

func (k *Keyring) open(path string, scope Scope, sealed Sealed) (any, error) {
	if k == nil || len(k.keys) == 0 {
		return nil, fmt.Errorf("%w: set %s or %s", ErrNoKey, KeyVariable, KeyFileVariable)
	}
	for _, key := range k.keys {
		if key.id != sealed.Key {
			continue
		}
		text, err := key.aead.Open(nil, nil, sealed.Data, bound(path, scope))
		if err != nil {
			return nil, fmt.Errorf("%w: it was altered, or moved here from another path or scope", ErrSealed)
		}
		return openedValue(text)
	}
	return nil, fmt.Errorf("%w: it was encrypted with the key %s, and here is %s", ErrSealed, sealed.Key, strings.Join(k.IDs(), ", "))
}

func openedValue(text []byte) (any, error) {
	var doc struct {
		V any `bson:"v"`
	}
	if err := bson.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return plain(doc.V)
}
