// Package auth tells who may: JWTs, the sessions behind cookies, and
// single-use tickets.
package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"doorbell/internal/safefile"
)

// MinSecret is the least length of a secret, in bytes: HS256 needs as many as
// its hash has (RFC 7518, 3.2).
const MinSecret = 32

// SecretFile is its name in the folder of secrets.
const SecretFile = "auth.secret"

// ErrNoSecret is in the chain of FindSecret's error when there is none yet.
var ErrNoSecret = errors.New("no secret yet")

// FindSecret returns the configured secret, else the one kept in dir.
func FindSecret(configured, dir string) ([]byte, error) {
	if configured != "" {
		return []byte(configured), nil
	}
	name := filepath.Join(dir, SecretFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: auth.secret is empty and there is no %s", ErrNoSecret, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("%s has %d bytes, want at least %d", name, len(secret), MinSecret)
	}
	return []byte(secret), nil
}

// EnsureSecret does what FindSecret does, but makes a secret where there is none.
func EnsureSecret(configured, dir string) ([]byte, error) {
	secret, err := FindSecret(configured, dir)
	if !errors.Is(err, ErrNoSecret) {
		return secret, err
	}
	text := rand.Text() + rand.Text() // 260 bits
	err = safefile.Create(filepath.Join(dir, SecretFile), []byte(text+"\n"))
	if err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("keep the secret: %w", err)
	}
	return FindSecret(configured, dir) // ours, or that of another who was first
}
