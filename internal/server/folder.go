package server

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"doorbell/internal/config"
	"doorbell/internal/store"
)

// DataDir returns the folder of secrets: data.dir, else the SQLite file's folder,
// else data.
func DataDir(cfg config.Config) string {
	if cfg.Data.Dir != "" {
		return cfg.Data.Dir
	}
	if file, err := store.SQLitePath(cfg.Database.URL); err == nil {
		return filepath.Dir(file)
	}
	return "data"
}

// DataSetting returns the setting that names the folder of secrets.
func DataSetting(cfg config.Config) string {
	if cfg.Data.Dir != "" {
		return "data.dir " + cfg.Data.Dir
	}
	if _, err := store.SQLitePath(cfg.Database.URL); err != nil { // on a server
		return "data.dir " + DataDir(cfg) + " (its default)"
	}
	return "database.url " + cfg.Database.URL + " (data.dir is its folder)"
}

// InFolderOf names the setting whose folder can't be made, read or written: a
// fault of the settings, unlike a disk that is full.
func InFolderOf(setting string, err error) error {
	if _, ok := errors.AsType[config.Fault](err); ok {
		return err
	}
	for _, fault := range []error{fs.ErrPermission, fs.ErrNotExist, syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR} {
		if errors.Is(err, fault) {
			return config.Fault{Err: fmt.Errorf("%s: this user needs to write there: %w", setting, err)}
		}
	}
	return fmt.Errorf("%s: %w", setting, err)
}
