package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/paysim"
	"doorbell/internal/payment/providers"
	"doorbell/internal/server"
)

// simulated are the providers that --provider takes.
var simulated = providers.Names()

// simulate runs the command: orders, their payments as the providers tell them,
// and what can go wrong with that, against the running server.
func simulate(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("simulate", out)
	url := remoteFlags(fs)
	shop := fs.Int64("shop", 1, "the shop")
	orders := fs.Int("orders", 1, "how many orders (1 to 1000)")
	amount := fs.Int64("amount", 2850, "what each costs, in fen")
	pause := durationFlag(fs, "pause", 6*time.Second, "from the payments to the reminders; 0: no reminder")
	provider := fs.String("provider", "wechat", strings.Join(simulated, ", ")+" or all")
	scenario := fs.String("scenario", "paid", strings.Join(scenarioNames(), ", ")+" or all")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *orders < 1 || *orders > 1000 || *shop < 1 || *amount < 1 {
		return usageError{errors.New("simulate: --orders from 1 to 1000, --shop and --amount from 1")}
	}
	if *provider != "all" && !slices.Contains(simulated, *provider) {
		return usageError{fmt.Errorf("simulate: there is no provider %q; there are %s and all", *provider, strings.Join(simulated, ", "))}
	}
	chosen, err := chooseScenarios(*scenario)
	if err != nil {
		return usageError{err}
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	r, err := dial(ctx, cfg.Config, *url, doorbell.Grant{
		Subject: "simulate", Role: doorbell.RoleService, Shops: doorbell.ShopSet{List: []doorbell.ShopID{doorbell.ShopID(*shop)}},
	})
	if err != nil {
		return err
	}
	if err := r.onTrial(ctx); err != nil {
		return err
	}
	s := simulator{shop: *shop, amount: *amount, pause: *pause, out: out}
	for _, known := range cfg.Shops {
		if known.ID == *shop {
			s.language = known.Language
		}
	}
	players, err := simulators(server.DataDir(cfg.Config), *provider, s)
	if err != nil {
		return err
	}
	for _, s := range players {
		s.remote = r
		for _, name := range chosen {
			s.say("%s, %s\n", s.provider.Name(), name)
			if err := s.repeat(ctx, *orders, name); err != nil {
				return fmt.Errorf("%s, %s: %w", s.provider.Name(), name, err)
			}
		}
	}
	return nil
}

// onTrial asks the server itself: the settings of this command may be others
// than those that it was started with.
func (r *remote) onTrial(ctx context.Context) error {
	var page struct {
		Trial *bool `json:"trial"`
	}
	if err := r.get(ctx, "page.json", &page); err != nil {
		return err
	}
	if page.Trial == nil {
		return fmt.Errorf("%s does not answer as doorbell does; --url names another address", r.base)
	}
	if !*page.Trial {
		return fmt.Errorf("the server at %s is not on trial, and takes nothing that the simulator signs. "+
			"A payment account, an address that others reach and a trusted proxy each end the trial; without an account, pay.trial: true brings it back", r.base)
	}
	return nil
}

// simulators play the chosen provider, or all, with the keys that the server
// made for them.
func simulators(dir, provider string, s simulator) (players []simulator, err error) {
	all, err := providers.LoadPlayers(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the server has made no keys for the simulator yet; start it first: %w", err)
	}
	if err != nil {
		return nil, err
	}
	strangers, err := providers.NewPlayers()
	if err != nil {
		return nil, err
	}
	for i, p := range all.All() {
		if provider == "all" || provider == p.Name() {
			s.provider, s.stranger = p, strangers.All()[i]
			players = append(players, s)
		}
	}
	return players, nil
}

// simulator plays one provider and its customers.
type simulator struct {
	*remote
	provider paysim.Player
	stranger paysim.Player // who signs with other keys
	shop     int64
	language string // of its menu; empty: either
	amount   int64
	pause    time.Duration
	out      io.Writer
}

// scenarios are what can be played, each with one order.
var scenarios = []struct {
	name string
	play func(s simulator, ctx context.Context, number string) error
}{
	{"paid", simulator.paid},
	{"duplicates", simulator.duplicates},
	{"retries", simulator.retries},
	{"out-of-order", simulator.outOfOrder},
	{"late", simulator.late},
	{"forged", simulator.forged},
	{"refund", simulator.refund},
	{"refund-part", simulator.refundPart},
	{"refund-duplicate", simulator.refundDuplicate},
	{"refund-early", simulator.refundEarly},
	{"partner", simulator.partner},
}

func scenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

func chooseScenarios(name string) ([]string, error) {
	switch names := scenarioNames(); {
	case name == "all":
		return names, nil
	case slices.Contains(names, name):
		return []string{name}, nil
	default:
		return nil, fmt.Errorf("simulate: there is no scenario %q; there are %s and all", name, strings.Join(names, ", "))
	}
}

const endings = 100_000 // how many the last five digits of a number give

// orderNumbers returns that many numbers of 18 digits: the time, and an ending that
// begins with first. The last four digits of up to 10,000 of them differ, because a
// kitchen calls those out.
func orderNumbers(count int, at time.Time, first int) (numbers []string) {
	const step = 7919 // has no factor in common with 10: no ending comes twice
	for k := range count {
		numbers = append(numbers, fmt.Sprintf("%d%05d", at.UnixMilli(), (first+k*step)%endings))
	}
	return numbers
}

// repeat plays a scenario for so many orders at once, so that their reminders
// come together.
func (s simulator) repeat(ctx context.Context, orders int, name string) error {
	i := slices.Index(scenarioNames(), name)
	errs := make([]error, orders)
	var playing sync.WaitGroup
	for k, number := range orderNumbers(orders, time.Now(), rand.IntN(endings)) {
		playing.Go(func() { errs[k] = scenarios[i].play(s, ctx, number) })
	}
	playing.Wait()
	return errors.Join(errs...)
}

func (s simulator) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format, args...) // a closed terminal must not stop the money
}

func (s simulator) payment(number string) paysim.Payment {
	return paysim.Payment{Number: number, Transaction: "42000" + number, Minor: s.amount}
}

// order creates one.
func (s simulator) order(ctx context.Context, number string) (id doorbell.OrderID, err error) {
	var order doorbell.Order
	detail := ordered(menuLanguage(s.language), rand.IntN)
	body := map[string]any{
		"number": number, "shopId": s.shop, "userId": 1, "amount": s.amount,
		"lines": detail.Lines, "note": detail.Note, "table": detail.Table, "pickup": detail.Pickup,
	}
	if err := s.post(ctx, "api/v1/orders", body, &order); err != nil {
		return 0, err
	}
	s.say("  order %d, number %s, %d.%02d yuan / 下单: %s\n", order.ID, number, s.amount/100, s.amount%100, strings.Join(detail.Lines, ", "))
	return order.ID, nil
}

// call sends a callback; the error is what the provider would note.
func (s simulator) call(ctx context.Context, c paysim.Callback) error {
	return s.callAt(ctx, paysim.Path(s.provider), c)
}

// callAt sends a callback to the path of an account.
func (s simulator) callAt(ctx context.Context, path string, c paysim.Callback) error {
	req, err := c.Request(s.base + path)
	if err != nil {
		return err
	}
	res, err := s.client.Do(req.WithContext(ctx)) //nolint:bodyclose // Answer closes it
	if err != nil {
		return err
	}
	return paysim.Answer(s.provider, res)
}

// pay sends the callback of a payment, which must be taken.
func (s simulator) pay(ctx context.Context, number string) error {
	c, err := s.provider.Paid(s.payment(number))
	if err != nil {
		return err
	}
	if err := s.call(ctx, c); err != nil {
		return fmt.Errorf("the callback was refused: %w", err)
	}
	s.say("  %s tells that it is paid: signed, taken / 支付回调\n", s.provider.Name())
	return nil
}

// refused sends a callback that must not be taken.
func (s simulator) refused(ctx context.Context, what string, c paysim.Callback) error {
	err := s.call(ctx, c)
	if err == nil {
		return fmt.Errorf("%s was taken", what)
	}
	s.say("  %s: %v\n", what, err)
	return nil
}

func (s simulator) paid(ctx context.Context, number string) error {
	id, err := s.order(ctx, number)
	if err == nil {
		err = s.pay(ctx, number)
	}
	if err != nil || s.pause == 0 {
		return err
	}
	select {
	case <-time.After(s.pause):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.post(ctx, fmt.Sprintf("api/v1/orders/%d/reminders", id), struct{}{}, nil); err != nil {
		return err
	}
	s.say("  customer chases order %d / 客户催单\n", id)
	return nil
}

func (s simulator) duplicates(ctx context.Context, number string) error {
	if _, err := s.order(ctx, number); err != nil {
		return err
	}
	c, err := s.provider.Paid(s.payment(number))
	if err != nil {
		return err
	}
	const copies = 8
	errs := make([]error, copies)
	var sending sync.WaitGroup
	for i := range copies {
		sending.Go(func() { errs[i] = s.call(ctx, c) })
	}
	sending.Wait()
	s.say("  the same callback %d times at once: one ring / 重复回调只响一次\n", copies)
	return errors.Join(errs...)
}

// retries hangs up before the answer, as a provider whose line breaks, and
// comes again.
func (s simulator) retries(ctx context.Context, number string) error {
	if _, err := s.order(ctx, number); err != nil {
		return err
	}
	c, err := s.provider.Paid(s.payment(number))
	if err != nil {
		return err
	}
	for range 3 {
		sent, hangUp := context.WithCancel(ctx)
		trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { hangUp() }}
		_ = s.call(httptrace.WithClientTrace(sent, trace), c) // its answer is not waited for
		hangUp()
	}
	if err := s.call(ctx, c); err != nil {
		return err
	}
	s.say("  three callbacks cut off, the fourth taken: one ring / 断线重试只响一次\n")
	return nil
}

func (s simulator) outOfOrder(ctx context.Context, number string) error {
	c, err := s.provider.Paid(s.payment(number))
	if err != nil {
		return err
	}
	if err := s.refused(ctx, "its order is not known yet, the provider will come again", c); err != nil {
		return err
	}
	if _, err := s.order(ctx, number); err != nil {
		return err
	}
	s.say("  rings now: the payment was waiting in the inbox / 先支付后下单\n")
	return s.call(ctx, c)
}

func (s simulator) late(ctx context.Context, number string) error {
	id, err := s.order(ctx, number)
	if err != nil {
		return err
	}
	if err := s.post(ctx, fmt.Sprintf("api/v1/orders/%d/cancel", id), struct{}{}, nil); err != nil {
		return err
	}
	s.say("  cancelled, then paid: told as cancelled, for a refund / 取消后支付\n")
	return s.pay(ctx, number)
}

func (s simulator) forged(ctx context.Context, number string) error {
	if _, err := s.order(ctx, number); err != nil {
		return err
	}
	c, err := s.stranger.Paid(s.payment(number))
	if err != nil {
		return err
	}
	if err := s.refused(ctx, "signed by a stranger", c); err != nil {
		return err
	}
	if c, err = s.provider.Paid(s.payment(number)); err != nil {
		return err
	}
	c.Body = slices.Concat(c.Body[:len(c.Body)/2], []byte{c.Body[len(c.Body)/2] ^ 1}, c.Body[len(c.Body)/2+1:])
	if err := s.refused(ctx, "one bit changed", c); err != nil {
		return err
	}
	cheap := s.payment(number)
	cheap.Minor, cheap.Transaction = 1, cheap.Transaction+"x"
	if s.amount == 1 {
		cheap.Minor = 2
	}
	if c, err = s.provider.Paid(cheap); err != nil {
		return err
	}
	return s.refused(ctx, "another amount than the order's", c)
}

func (s simulator) refund(ctx context.Context, number string) error {
	if _, err := s.order(ctx, number); err != nil {
		return err
	}
	if err := s.pay(ctx, number); err != nil {
		return err
	}
	c, err := s.provider.Refunded(paysim.Refund{Payment: s.payment(number)})
	if err != nil {
		return err
	}
	if err := s.call(ctx, c); err != nil {
		return err
	}
	s.say("  refunded: silent, and told / 退款\n")
	return nil
}
