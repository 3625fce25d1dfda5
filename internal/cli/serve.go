package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"doorbell/internal/config"
	"doorbell/internal/logqueue"
	"doorbell/internal/server"
)

// serve runs the server until ctx ends.
func serve(ctx context.Context, args []string, out io.Writer) error {
	set, file := flags("serve", out)
	if err := parse(set, args); err != nil {
		return err
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	log, endLog := logqueue.NewLogger(os.Stderr, logqueue.Format(cfg.Log.Format))
	defer endLog()
	warnUnknown(ctx, log, cfg.Unknown)
	given, err := server.Inherited()
	if err != nil {
		return err
	}
	if given != nil {
		// What reaches the server is the socket and not the setting: one on every
		// address is no trial.
		cfg.Server.Addr = given.Addr().String()
	}
	s, err := server.New(ctx, server.Options{Config: cfg.Config, Version: version(), Log: log, Command: hintsFor(os.Args[0], *file).line})
	if err != nil {
		return err
	}
	l, err := server.Listen(ctx, cfg.Config, given)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return s.Run(ctx, l, out)
}

// warnUnknown tells of DOORBELL_* variables that set nothing. They stop nothing:
// Kubernetes makes some for a service of that name.
func warnUnknown(ctx context.Context, log *slog.Logger, unknown []config.Stray) {
	for _, v := range unknown {
		log.WarnContext(ctx, "unknown environment variable ignored", "name", v.Name, "nearest", v.Nearest)
	}
}
