package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"syscall"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/internal/payment/providers"
)

// loadVerifiers returns a verifier for each configured provider, by its name; on
// trial those of the simulator, and those in no other case.
func loadVerifiers(cfg config.Config) (map[string]payment.Verifier, error) {
	load := payment.Provider.Verifiers
	if cfg.OnTrial() {
		players, err := providers.EnsurePlayers(DataDir(cfg))
		if err != nil {
			return nil, err
		}
		load = func(p payment.Provider) ([]payment.Named, error) {
			return players.Of(p.Endpoint().Provider).Verifiers(p.CheckAmount())
		}
	}
	out := map[string]payment.Verifier{}
	var faults []error
	for _, p := range providers.All(cfg.Pay) {
		name := p.Endpoint().Provider
		accounts, err := load(p)
		if err != nil {
			faults = append(faults, err)
		}
		if len(accounts) == 0 {
			continue
		}
		group, err := payment.NewGroup(accounts)
		if err != nil {
			faults = append(faults, fmt.Errorf("pay.%s.accounts: %w", name, err))
			continue
		}
		out[name] = group
	}
	if err := errors.Join(faults...); err != nil {
		return nil, config.Fault{Err: err}
	}
	return out, nil
}

// merchantAccounts returns the accounts and the shops that each is paid for.
func merchantAccounts(p config.Pay) (out []doorbell.Account) {
	for _, provider := range providers.All(p) {
		out = append(out, provider.Accounts()...)
	}
	return out
}

// loadQueriers returns a querier for each provider that can be asked.
func loadQueriers(ctx context.Context, cfg config.Config) ([]payment.Querier, error) {
	accounts := doorbell.NewAccounts(merchantAccounts(cfg.Pay))
	var out []payment.Querier
	for _, p := range providers.All(cfg.Pay) {
		list, err := p.Queriers(ctx)
		if err != nil {
			return nil, config.Fault{Err: err}
		}
		if len(list) > 0 {
			out = append(out, payment.NewQueryGroup(list, accounts.Serves))
		}
	}
	return out, nil
}

// lookForKeys is how often the files of keys are looked at: WeChat replaces a
// platform certificate a day before it signs with the new one.
const lookForKeys = 5 * time.Second

// reloadKeys reads the providers' key files again on SIGHUP and when one of
// them changed. Keys that can't be read leave those in use where they are.
func (s *Server) reloadKeys(ctx context.Context) error {
	files := KeyFiles(s.cfg.Pay)
	if !s.cfg.Pay.Configured() { // a terminal that closes ends the server, as it ends any program
		return nil
	}
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	tick := time.NewTicker(lookForKeys)
	defer tick.Stop()
	for seen := stamps(files); ; {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-hangUp:
			asked = true
		case <-tick.C:
		}
		now := stamps(files)
		if !asked && maps.Equal(seen, now) {
			continue
		}
		seen = now
		s.replaceKeys(ctx)
	}
}

func (s *Server) replaceKeys(ctx context.Context) {
	verifiers, err := loadVerifiers(s.cfg)
	queriers, err2 := loadQueriers(ctx, s.cfg)
	if err := errors.Join(err, err2); err != nil {
		s.log.ErrorContext(ctx, "payment keys not reloaded; the old keys stay in use", "error", err)
		return
	}
	for provider, v := range verifiers {
		s.gates[provider].Replace(v)
	}
	s.reconciler.Replace(queriers)
	s.log.InfoContext(ctx, "payment keys reloaded")
}

// KeyFiles returns all files that the settings name.
func KeyFiles(p config.Pay) (files []string) {
	for _, provider := range providers.All(p) {
		files = append(files, provider.KeyFiles()...)
	}
	return files
}

// stamp tells a file from another: a mount in Kubernetes changes the link's
// target, an editor the file.
type stamp struct {
	size int64
	at   time.Time
}

func stamps(files []string) map[string]stamp {
	out := map[string]stamp{}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil { // one that is gone is told when it is read
			out[f] = stamp{info.Size(), info.ModTime()}
		}
	}
	return out
}
