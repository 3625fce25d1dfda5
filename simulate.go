package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment/wechatsim"
)

// simulate is the command: an order, its payment as WeChat Pay tells it, and a
// reminder, against the running server.
func simulate(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("simulate", out)
	url := remoteFlags(fs)
	shop := fs.Int64("shop", 1, "the shop")
	orders := fs.Int("orders", 1, "how many orders (1 to 1000)")
	amount := fs.Int64("amount", 2850, "what each costs, in fen")
	pause := fs.Duration("pause", 6*time.Second, "from the payments to the reminders; 0: no reminder")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *orders < 1 || *orders > 1000 || *shop < 1 || *amount < 1 {
		return usageError{errors.New("simulate: --orders from 1 to 1000, --shop and --amount from 1")}
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	if !cfg.OnTrial() {
		return errors.New("the server is not on trial: the simulator's key verifies nothing there (see pay.trial)")
	}
	platform, err := wechatsim.Load(dataDir(cfg.Config))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the server has made no keys for the simulator yet; start it first: %w", err)
	}
	if err != nil {
		return err
	}
	r, err := dial(cfg.Config, *url, doorbell.Grant{
		Subject: "simulate", Role: doorbell.RoleService, Shops: doorbell.ShopSet{List: []doorbell.ShopID{doorbell.ShopID(*shop)}},
	})
	if err != nil {
		return err
	}
	s := simulator{remote: r, platform: platform, out: out}
	var ids []int64
	for range *orders {
		id, err := s.order(ctx, *shop, *amount)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if *pause == 0 {
		return nil
	}
	select {
	case <-time.After(*pause):
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, id := range ids {
		if err := r.post(ctx, fmt.Sprintf("api/v1/orders/%d/reminders", id), struct{}{}, nil); err != nil {
			return err
		}
		s.say("  customer hurries order %d / 客户催单\n", id)
	}
	return nil
}

type simulator struct {
	*remote
	platform *wechatsim.Platform
	out      io.Writer
}

func (s simulator) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format, args...) // a closed terminal must not stop the money
}

// order creates one and pays it.
func (s simulator) order(ctx context.Context, shop, amount int64) (int64, error) {
	number := strconv.FormatInt(time.Now().UnixMilli(), 10) + strconv.FormatInt(100+rand.Int64N(900), 10)
	var order doorbell.Order
	body := map[string]any{"number": number, "shopId": shop, "userId": 1, "amount": amount}
	if err := s.post(ctx, "api/v1/orders", body, &order); err != nil {
		return 0, err
	}
	s.say("  order %d, number %s, %d.%02d yuan / 下单\n", order.ID, number, amount/100, amount%100)
	transaction := "42000" + number
	callback, err := s.platform.Sign(wechatsim.Notice{Content: s.platform.Payment(number, transaction, amount)})
	if err != nil {
		return 0, err
	}
	req, err := callback.Request(s.base + "pay/wechat")
	if err != nil {
		return 0, err
	}
	res, err := s.client.Do(req.WithContext(ctx)) //nolint:bodyclose // Answer closes it
	if err != nil {
		return 0, err
	}
	if err := wechatsim.Answer(res); err != nil {
		return 0, fmt.Errorf("the callback was refused: %w", err)
	}
	s.say("  WeChat Pay tells that it is paid: signed, encrypted, taken / 支付回调\n")
	return int64(order.ID), nil
}
