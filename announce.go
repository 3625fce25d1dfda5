package main

import (
	"context"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/netresearch/go-cron"

	"doorbell/internal/config"
)

// announcer sends a text by the clock.
type announcer struct{ cron *cron.Cron }

// newAnnouncer is nil where announce.cron is empty.
func newAnnouncer(cfg config.Config, announce func(text string)) (*announcer, error) {
	if cfg.Announce.Cron == "" {
		return nil, nil //nolint:nilnil // off
	}
	zone, err := cfg.Location()
	if err != nil {
		return nil, fmt.Errorf("time.zone: %w", err)
	}
	text, err := template.New("announce").Option("missingkey=error").Parse(cfg.Announce.Text)
	if err != nil {
		return nil, fmt.Errorf("announce.text: %w", err)
	}
	if _, err := announcement(text, zone); err != nil {
		return nil, fmt.Errorf("announce.text: %w", err)
	}
	c := cron.New(cron.WithSeconds(), cron.WithLocation(zone))
	_, err = c.AddFunc(cfg.Announce.Cron, func() {
		if line, err := announcement(text, zone); err == nil { // it was tried above
			announce(line)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("announce.cron %q: want six fields with seconds, say 0/5 * * * * ?: %w", cfg.Announce.Cron, err)
	}
	return &announcer{cron: c}, nil
}

func announcement(text *template.Template, zone *time.Location) (string, error) {
	var b strings.Builder
	err := text.Execute(&b, map[string]string{"Time": time.Now().In(zone).Format("15:04:05")})
	return b.String(), err
}

func (a *announcer) run(ctx context.Context) error {
	a.cron.Start()
	<-ctx.Done()
	<-a.cron.Stop().Done() // what runs has ended
	return nil
}
