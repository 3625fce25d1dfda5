package server

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
type announcer struct {
	cron *cron.Cron
	when string // six fields
	text *template.Template
	zone *time.Location
}

// newAnnouncer returns nil where announce.cron is empty.
func newAnnouncer(cfg config.Config) (*announcer, error) {
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
	a := &announcer{cron: cron.New(cron.WithSeconds(), cron.WithLocation(zone)), when: cfg.Announce.Cron, text: text, zone: zone}
	if err := cron.ValidateSpec(a.when, cron.Second|cron.Minute|cron.Hour|cron.Dom|cron.Month|cron.Dow|cron.Descriptor); err != nil {
		return nil, fmt.Errorf("announce.cron %q: want six fields with seconds, say 0/5 * * * * ?: %w", a.when, err)
	}
	return a, nil
}

func announcement(text *template.Template, zone *time.Location) (string, error) {
	var b strings.Builder
	err := text.Execute(&b, map[string]string{"Time": time.Now().In(zone).Format("15:04:05")})
	return b.String(), err
}

// run announces at each time until ctx ends.
func (a *announcer) run(ctx context.Context, announce func(text string)) error {
	_, err := a.cron.AddFunc(a.when, func() {
		if line, err := announcement(a.text, a.zone); err == nil { // newAnnouncer tried it
			announce(line)
		}
	})
	if err != nil {
		return fmt.Errorf("announce.cron %q: %w", a.when, err)
	}
	a.cron.Start()
	<-ctx.Done()
	<-a.cron.Stop().Done() // what runs has ended
	return nil
}
