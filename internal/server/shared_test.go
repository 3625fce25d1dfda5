package server

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testservers/databases"
	"doorbell/internal/webpush"
)

// TestNodesShareTheirSecrets: nodes of one database, each with a folder of its own
// and no secret in the settings, take each other's tokens and sign pushes with the
// same keys. A node that had secrets before keeps them beside the shared ones.
func TestNodesShareTheirSecrets(t *testing.T) {
	db := databases.Need(t, databases.Postgres)
	at, _, err := db.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*Server
	var folders []string
	var log lockedBuffer
	for i := range 3 {
		cfg := config.Default()
		cfg.Database.URL, cfg.Data.Dir = at, t.TempDir()
		if i == 2 {
			if _, err := auth.EnsureSecret("", cfg.Data.Dir); err != nil {
				t.Fatal(err)
			}
		}
		s, err := New(t.Context(), testOptions(cfg, slog.New(slog.NewTextHandler(&log, nil))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		nodes, folders = append(nodes, s), append(folders, cfg.Data.Dir)
	}
	token, err := nodes[0].tokens.Issue(doorbell.Grant{Subject: "a", Role: doorbell.RoleAdmin, Shops: doorbell.ShopSet{All: true}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range nodes {
		if _, err := s.tokens.Check(token); err != nil {
			t.Errorf("node %d refuses the first one's token: %v", i, err)
		}
		for _, name := range []string{auth.SecretFile, webpush.KeyFile} {
			first, err := os.ReadFile(filepath.Join(folders[0], name))
			if err != nil {
				t.Fatal(err)
			}
			if own, err := os.ReadFile(filepath.Join(folders[i], name)); err != nil || !bytes.Equal(own, first) {
				t.Errorf("node %d has another %s than the first: %v", i, name, err)
			}
		}
	}
	kept, err := filepath.Glob(filepath.Join(folders[2], auth.SecretFile+".replaced-*"))
	if err != nil || len(kept) != 1 || !strings.Contains(log.String(), "the nodes of this database have another secret") {
		t.Errorf("the third node's own secret: kept as %v, %v; the log says\n%s", kept, err, log.String())
	}
}
