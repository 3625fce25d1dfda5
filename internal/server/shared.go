package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/safefile"
	"doorbell/internal/webpush"
)

// SecretFiles returns the names of the files in DataDir without which a server
// knows neither its tokens nor its push subscriptions. The simulator's keys can be
// made again.
func SecretFiles(cfg config.Config) []string {
	files := []string{webpush.KeyFile}
	if cfg.Auth.Secret == "" && cfg.Auth.Algorithm == "HS256" {
		files = append(files, auth.SecretFile)
	}
	return files
}

// shareSecrets gives each node of a server's database the same secrets: the first
// node's. Each keeps a copy in its folder, for the commands that run there. A
// folder's file that differs is kept beside the copy.
func (s *Server) shareSecrets(ctx context.Context) error {
	if s.store.Alone() {
		return nil
	}
	cfg, dir := s.cfg, DataDir(s.cfg)
	if _, err := webpush.EnsureKeys(dir); err != nil {
		return InFolderOf(DataSetting(cfg), err)
	}
	if _, err := auth.EnsureSecret(string(cfg.Auth.Secret), dir); err != nil {
		return InFolderOf(DataSetting(cfg), err)
	}
	for _, name := range SecretFiles(cfg) {
		file := filepath.Join(dir, name)
		own, err := os.ReadFile(file)
		if err != nil {
			return InFolderOf(DataSetting(cfg), err)
		}
		first, err := s.store.Shared(ctx, name, string(own))
		if err != nil {
			return err
		}
		if bytes.Equal(own, []byte(first)) {
			continue
		}
		aside, err := Replace(file, []byte(first))
		if err != nil {
			return InFolderOf(DataSetting(cfg), err)
		}
		s.log.WarnContext(ctx, "the nodes of this database have another secret, which is used", "file", file, "before", aside)
	}
	return nil
}

// Replace writes a file anew and keeps what stood there under the name that it
// returns; empty where nothing did.
func Replace(file string, content []byte) (aside string, err error) {
	aside = file + ".replaced-" + time.Now().UTC().Format("20060102T150405.000")
	if err := os.Rename(file, aside); errors.Is(err, os.ErrNotExist) {
		aside = ""
	} else if err != nil {
		return "", fmt.Errorf("keep the file that is replaced: %w", err)
	}
	return aside, safefile.Create(file, content)
}
