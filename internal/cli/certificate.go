package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"doorbell/internal/lancert"
	"doorbell/internal/server"
)

// certificate runs the command: it makes a certificate for a local network.
func certificate(_ context.Context, args []string, out io.Writer) error {
	fs, file := flags("certificate", out)
	names := fs.String("names", "", "what tablets open, by comma: IP addresses and host names, say 192.168.1.10,kitchen.local\n"+
		"(default: this machine's name, with and without .local, its address in the private network, and loopback)")
	dir := fs.String("dir", "", "the `FOLDER` of the files (default: tls in the folder of the secrets)")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	if *dir == "" {
		*dir = filepath.Join(server.DataDir(cfg.Config), "tls")
	}
	// The server may run in another folder.
	if *dir, err = filepath.Abs(*dir); err != nil {
		return err
	}
	list := ownNames()
	if *names != "" {
		list = nil
		for name := range strings.SplitSeq(*names, ",") {
			list = append(list, strings.TrimSpace(name))
		}
	}
	files, made, err := lancert.Make(*dir, list, time.Now())
	if err != nil {
		return err
	}
	authority := "signed by the authority that is there: a tablet that trusts it needs nothing new / 沿用已有的 CA，平板无需重新安装"
	if made {
		authority = "the authority, new: install it once on each tablet (docs/deploy.md) / 新建的 CA，请在每台平板上安装一次"
	}
	_, err = fmt.Fprintf(out, `for       %s
%s
          %s
%s, %s
          the certificate, good for %d days, and its key; in config.yaml:

server:
  tls:
    cert: %[4]s
    key: %[5]s
`, strings.Join(list, ", "), files.Authority, authority, files.Cert, files.Key, int(lancert.ServerLife.Hours()/24))
	return err
}

// ownNames returns what this machine may be called in its network.
func ownNames() []string {
	list := []string{"localhost", "127.0.0.1"}
	if a := server.LANAddress(); a != "" {
		list = append([]string{a}, list...)
	}
	host, err := os.Hostname()
	if host = strings.ToLower(host); err == nil && host != "localhost" && lancert.HostName(host) {
		list = append(list, host)
		if !strings.Contains(host, ".") {
			list = append(list, host+".local")
		}
	}
	return list
}
