package providers

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"doorbell/internal/payment/paysim"
	"doorbell/internal/safefile"
)

// Of returns the player of a provider, or nil.
func (p *Players) Of(provider string) paysim.Player {
	for _, player := range p.All() {
		if player.Name() == provider {
			return player
		}
	}
	return nil
}

// NewPlayers returns players with new keys.
func NewPlayers() (*Players, error) {
	keys, err := newKeys()
	if err != nil {
		return nil, err
	}
	return playersOf(keys)
}

func newKeys() (map[string]string, error) {
	keys := map[string]string{"note": "The simulator's keys. They verify callbacks on trial only."}
	for _, draw := range draws {
		drawn, err := draw()
		if err != nil {
			return nil, err
		}
		maps.Copy(keys, drawn)
	}
	return keys, nil
}

const keyFile = "trial-keys.json"

// LoadPlayers reads the players whose keys are stored in dir; it returns
// os.ErrNotExist if there are none.
func LoadPlayers(dir string) (*Players, error) {
	text, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	var keys map[string]string
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, fmt.Errorf("read the simulator's keys: %w", err)
	}
	return playersOf(keys)
}

// EnsurePlayers reads the players whose keys are stored in dir, or creates them
// and stores their keys, readable by the owner only.
func EnsurePlayers(dir string) (*Players, error) {
	p, err := LoadPlayers(dir)
	if !errors.Is(err, os.ErrNotExist) {
		return p, err
	}
	keys, err := newKeys()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := safefile.Create(filepath.Join(dir, keyFile), text); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("store the simulator's keys: %w", err)
	}
	return LoadPlayers(dir) // ours, or those of another who was first
}
