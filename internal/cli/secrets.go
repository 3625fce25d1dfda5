package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/safefile"
	"doorbell/internal/server"
	"doorbell/internal/webpush"
)

// readSecrets reads the server's secrets that are there.
func readSecrets(cfg config.Config) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range server.SecretFiles(cfg) {
		content, err := os.ReadFile(filepath.Join(server.DataDir(cfg), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, server.InFolderOf(server.DataSetting(cfg), err)
		}
		out[name] = content
	}
	return out, nil
}

// lossOf says what a restored server refuses without a file, and the way out,
// while the old machine may still be there to copy from.
var lossOf = map[string]string{
	auth.SecretFile: "copy it from the old data folder before the start; otherwise a new one is made, and every token of the old server is refused.",
	webpush.KeyFile: "copy it from the old data folder before the start; otherwise a new one is made, and a device gets pushes again once Sound on is pressed there.",
}

// putSecrets writes a backup's secrets where none stand. One that stands here
// and differs may have been renewed since for a reason: it stays, unless replace
// says otherwise, and then is kept beside the backup's.
func putSecrets(cfg config.Config, secrets map[string][]byte, replace bool) (told []string, err error) {
	for _, name := range server.SecretFiles(cfg) {
		content, known := secrets[name]
		file := filepath.Join(server.DataDir(cfg), name)
		here, err := os.ReadFile(file)
		switch absent := errors.Is(err, fs.ErrNotExist); {
		case err != nil && !absent:
			return told, server.InFolderOf(server.DataSetting(cfg), err)
		case !known && absent:
			told = append(told, "The backup holds no "+name+": "+lossOf[name])
			continue
		case !known, bytes.Equal(here, content):
			continue
		case absent:
		case !replace:
			told = append(told, fmt.Sprintf("%s stays as it is here, and differs from the backup's: what that one signed is not taken. To take the backup's, restore again with --secrets.", file))
			continue
		default:
			aside, err := server.Replace(file, content)
			if err != nil {
				return told, server.InFolderOf(server.DataSetting(cfg), err)
			}
			told = append(told, "What stood in "+file+" is now "+aside+".", "Restored "+file+".")
			continue
		}
		if err := safefile.Create(file, content); err != nil {
			return told, server.InFolderOf(server.DataSetting(cfg), err)
		}
		told = append(told, "Restored "+file+".")
	}
	return told, nil
}
