package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"doorbell/internal/bench"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/server"
	"doorbell/internal/store"
)

// benchmark runs the command bench: a load that measures what the server costs, beside
// a floor in the same run.
func benchmark(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "floor" {
		return serveFloor(ctx, args[1:], out)
	}
	fs, file := flags("bench", out)
	b := &benchRun{out: out}
	fs.StringVar(&b.url, "url", "", "a server that runs (default: one of its own for each measurement, in a folder of its own)")
	fs.IntVar(&b.pid, "pid", 0, "with --url: its process on this machine, to measure its CPU and memory")
	fs.StringVar(&b.dir, "dir", os.TempDir(), "where its own servers keep their databases")
	scenarios := fs.String("scenario", "all", "by comma:\n"+bench.Describe())
	transports := fs.String("transport", "ws,sse", "ws, sse or both")
	jsonFile := fs.String("json", "", "also write each figure as a line of JSON to this file")
	o := bench.Options{}
	fs.IntVar(&o.Consoles, "consoles", 0, "how many consoles (default: the scenario's)")
	fs.IntVar(&o.Shops, "shops", 0, "how many shops (default: the scenario's)")
	fs.IntVar(&o.Rate, "rate", 0, "alerts or callbacks a second, where the scenario has a rate")
	fs.IntVar(&o.Publishers, "publishers", 0, "how many send as fast as they are answered, at most 64 (default: 64)")
	fs.Var((*durationValue)(&o.Duration), "duration", "how long it measures (default: the scenario's)")
	fs.StringVar(&b.nchan, "nchan", "", "nginx's module ngx_nchan_module.so: the fan-out is also measured on nginx with Nchan")
	fs.IntVar(&o.Runs, "runs", 1, "how often all is repeated; the table shows the middle and both ends")
	if err := parse(fs, args); err != nil {
		return err
	}
	if err := b.choose(&o, *scenarios, *transports); err != nil {
		return usageError{err}
	}
	if *jsonFile != "" {
		f, err := os.OpenFile(*jsonFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // figures, for everybody
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // each line was written
		o.JSON = f
	}
	return b.run(ctx, o, *file)
}

// benchRun is one call of the command.
type benchRun struct {
	out      io.Writer
	url, dir string
	pid      int
	nchan    string
}

func (b *benchRun) choose(o *bench.Options, scenarios, transports string) error {
	o.Scenarios = strings.Split(scenarios, ",")
	if scenarios == "all" {
		o.Scenarios = bench.Scenarios()
	}
	for _, s := range o.Scenarios {
		if !slices.Contains(bench.Scenarios(), s) {
			return fmt.Errorf("bench: there is no scenario %q; there are %s and all", s, strings.Join(bench.Scenarios(), ", "))
		}
	}
	o.Transports = strings.Split(transports, ",")
	for _, t := range o.Transports {
		if t != "ws" && t != "sse" {
			return fmt.Errorf("bench: --transport: %q is neither ws nor sse", t)
		}
	}
	if o.Consoles < 0 || o.Shops < 0 || o.Rate < 0 || o.Publishers < 0 || o.Duration < 0 || o.Runs < 1 {
		return errors.New("bench: numbers are from 1")
	}
	if o.Publishers > 64 {
		return fmt.Errorf("bench: --publishers: %d is more than 64", o.Publishers)
	}
	if b.nchan != "" {
		if _, err := os.Stat(b.nchan); err != nil {
			return fmt.Errorf("bench: --nchan: %w", err)
		}
	}
	if b.pid != 0 && b.url == "" {
		return errors.New("bench: --pid goes with --url")
	}
	return nil
}

func (b *benchRun) run(ctx context.Context, o bench.Options, file string) error {
	o.Server, o.Floor, o.BareWriter = b.own, b.floor, b.bareWriter
	if b.nchan != "" {
		o.Peer, o.PeerName = b.peer, "nchan"
	}
	what := "its own servers in " + b.dir
	if b.url != "" {
		cfg, err := settings(file)
		if err != nil {
			return err
		}
		t, err := target(ctx, cfg.Config, strings.TrimSuffix(b.url, "/")+"/", b.pid)
		if err != nil {
			return err
		}
		what = b.url
		o.Server = func(context.Context) (bench.Target, func() error, error) { return t, func() error { return nil }, nil }
	}
	o.Log = func(format string, args ...any) {
		_, _ = fmt.Fprintf(b.out, format+"\n", args...) // the figures are what counts
	}
	o.Log("doorbell %s, %s, %s/%s, %d cores, load on %s; floor: the bytes made once and one write per console",
		version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), what)
	if b.url != "" {
		o.Log("it raises alerts in shops from 900000001 on; no console of yours follows those")
	}
	return bench.Run(ctx, o, b.out)
}

// target returns a server of these settings as the load tool reaches it.
func target(ctx context.Context, cfg config.Config, url string, pid int) (t bench.Target, err error) {
	t = bench.Target{URL: url, PID: pid}
	for role, token := range map[doorbell.Role]*string{doorbell.RoleConsole: &t.Console, doorbell.RoleService: &t.Service} {
		g := doorbell.Grant{Subject: "bench", Role: role, Shops: doorbell.ShopSet{All: true}}
		r, err := dial(ctx, cfg, url, g)
		if err != nil {
			return t, err
		}
		*token = r.token
	}
	if cfg.OnTrial() {
		t.Payments = func(n int) ([]bench.Payment, error) { return signedPayments(server.DataDir(cfg), n) }
	}
	return t, nil
}

// signedPayments returns callbacks as WeChat Pay signs them, for orders that are
// not made yet.
func signedPayments(dir string, n int) ([]bench.Payment, error) {
	players, err := providers.LoadPlayers(dir)
	if err != nil {
		return nil, err
	}
	stamp := strconv.FormatInt(time.Now().UnixNano(), 36)
	payments := make([]bench.Payment, n)
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for i := range payments {
		g.Go(func() error {
			number := fmt.Sprintf("%s-%d", stamp, i)
			c, err := players.WeChat.Paid(paysim.Payment{Number: number, Transaction: "42" + number, Minor: 2850})
			if err != nil {
				return err
			}
			header := map[string]string{}
			for name := range c.Header {
				header[name] = c.Header.Get(name)
			}
			payments[i] = bench.Payment{Number: number, Fen: 2850, Path: paysim.Path(players.WeChat), Header: header, Body: c.Body}
			return nil
		})
	}
	return payments, g.Wait()
}

// serveFloor runs the floor in a process of its own.
func serveFloor(ctx context.Context, args []string, out io.Writer) error {
	fs, _ := flags("bench floor", out)
	addr := fs.String("addr", "127.0.0.1:0", "where it listens")
	if err := parse(fs, args); err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	floor := &http.Server{Handler: bench.Floor(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = floor.Close() })
	defer stop()
	if err := floor.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bareWriter measures what the callbacks are compared with: the same payments, taken
// by the same rules, on nothing but the database's writer.
func (b *benchRun) bareWriter(ctx context.Context, n, callers int) (took time.Duration, err error) {
	dir, err := os.MkdirTemp(b.dir, "doorbell-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, err := settings(os.DevNull)
	if err != nil {
		return 0, err
	}
	rules, err := server.Rules(cfg.Config)
	if err != nil {
		return 0, err
	}
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(ctx, store.Options{URL: "sqlite://" + filepath.Join(dir, "doorbell.db"), Log: log})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	service := doorbell.NewService(s, rules, log)
	ctx, stop := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error {
		defer stop()
		if err := payAll(ctx, n, callers, func(i int) error { return bareOrder(ctx, service, i) }); err != nil {
			return err
		}
		start := time.Now()
		err := payAll(ctx, n, callers, func(i int) error { return barePayment(ctx, service, i) })
		took = time.Since(start)
		return err
	})
	return took, g.Wait()
}

// payAll lets the callers do the n things.
func payAll(ctx context.Context, n, callers int, one func(i int) error) error {
	g, _ := errgroup.WithContext(ctx)
	for c := range callers {
		g.Go(func() error {
			for i := c; i < n; i += callers {
				if err := one(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func bareOrder(ctx context.Context, s *doorbell.Service, i int) error {
	_, _, err := s.CreateOrder(ctx, doorbell.Order{
		Number: strconv.Itoa(i), Shop: doorbell.ShopID(i%250 + 1), User: 1, Money: doorbell.Money{Minor: 2850, Currency: "CNY"},
	})
	return err
}

func barePayment(ctx context.Context, s *doorbell.Service, i int) error {
	v, err := s.TakeNotice(ctx, doorbell.Notice{
		Provider: "wechat", Kind: doorbell.PaymentNotice, Transaction: "42" + strconv.Itoa(i), Number: strconv.Itoa(i),
		Money: doorbell.Money{Minor: 2850, Currency: "CNY"}, CheckAmount: true, BodyHash: strings.Repeat("0", 64),
	})
	if err == nil && v != doorbell.Settled {
		return fmt.Errorf("payment %d: %s", i, v)
	}
	return err
}
