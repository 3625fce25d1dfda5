package server

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/escalation"
	"doorbell/internal/notify"
	"doorbell/internal/store"
	"doorbell/internal/webhook"
	"doorbell/internal/webpush"
)

// ladders returns who is told of alerts that nobody takes care of. A rung that
// names several is one for each.
func ladders(cfg config.Config) doorbell.Ladders {
	hooks := map[string]bool{}
	for _, h := range cfg.Webhooks {
		hooks[h.Name] = true
	}
	out := doorbell.Ladders{}
	for shop, rungs := range cfg.Escalation {
		ladder := doorbell.Ladder{}
		for _, r := range rungs {
			for _, name := range r.To {
				to := doorbell.ChannelTo(name)
				if hooks[name] {
					to = doorbell.HookTo(name)
				}
				ladder = append(ladder, doorbell.Rung{After: r.After, Repeat: r.Repeat, To: to})
			}
		}
		id, err := strconv.ParseInt(shop, 10, 64)
		if err != nil {
			id = 0 // default
		}
		out[doorbell.ShopID(id)] = ladder
	}
	return out
}

// channelTargets are the channels and the shops' pushes, as the sender calls them.
func channelTargets(cfg config.Config, push *webpush.Sender, dial dialer) ([]webhook.Target, error) {
	client := &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dial, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 2},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	texts := newTexts(cfg)
	targets := []webhook.Target{{
		Name: doorbell.ChannelTo(doorbell.PushName).Hook,
		Deliver: func(ctx context.Context, messages []doorbell.Outgoing) error {
			m, err := texts.message(messages)
			if err != nil {
				return err
			}
			return push.Tell(ctx, messages[0].Shop, webpush.Text{Event: string(messages[0].Event), Title: m.Title, Body: m.Text})
		},
	}}
	for i, c := range cfg.Channels {
		channel, err := notify.New(string(c.URL), client)
		if err != nil {
			return nil, config.Fault{Err: fmt.Errorf("channels[%d].url: %w", i, err)}
		}
		targets = append(targets, webhook.Target{
			Name: doorbell.ChannelTo(c.Name).Hook, Together: true,
			Deliver: func(ctx context.Context, messages []doorbell.Outgoing) error {
				m, err := texts.message(messages)
				if err != nil {
					return err
				}
				return channel.Send(ctx, m)
			},
		})
	}
	return targets, nil
}

// needed reports whether a message is to be sent still. It is asked right before.
func needed(book *store.Store) func(context.Context, doorbell.Outgoing) (bool, error) {
	return func(ctx context.Context, o doorbell.Outgoing) (bool, error) {
		switch {
		case o.About != 0:
			return book.Rings(ctx, o.Shop, o.About)
		case o.Event == doorbell.ShopUnattended && doorbell.IsChannel(o.Hook): // somebody came meanwhile
			kept, err := book.Attendances(ctx)
			return kept[o.Shop].Alarm, err
		default:
			return true, nil
		}
	}
}

// newEscalator climbs the shops' ladders.
func (s *Server) newEscalator() *escalation.Escalator {
	return escalation.New(escalation.Options{
		Store: s.store, Leases: s.store, Ladders: ladders(s.cfg), Escalate: s.service.Escalate, Wake: s.hooks.Wake, Log: s.log, Node: s.store.Holder(),
	})
}

// Tried is what became of one message of a test.
type Tried struct {
	To  string
	Err error
}

// TryLadder sends a test to everybody on a shop's ladder, each once.
func TryLadder(ctx context.Context, cfg config.Config, book *store.Store, o Options, shop doorbell.ShopID) ([]Tried, error) {
	keys, err := webpush.EnsureKeys(DataDir(cfg))
	if err != nil {
		return nil, err
	}
	push := webpush.New(webpush.Options{Store: book, Keys: keys, Subscriber: subscriber(cfg), Log: o.Log})
	sender, err := newHooks(cfg, book, push, nil, book.Holder(), o.Log)
	if err != nil {
		return nil, err
	}
	defer sender.Close()
	var out []Tried
	seen := map[doorbell.Addressee]bool{}
	for _, r := range ladders(cfg).Of(shop) {
		if seen[r.To] {
			continue
		}
		seen[r.To] = true
		m, err := doorbell.TestEscalation(shop, r.To, book.Now())
		if err != nil {
			return nil, err
		}
		out = append(out, Tried{r.To.Name, sender.SendNow(ctx, m)})
	}
	return out, nil
}

// texts says to people what happened, in the language of the shop.
type texts struct {
	names   map[doorbell.ShopID]string
	english map[doorbell.ShopID]bool
}

func newTexts(cfg config.Config) texts {
	t := texts{map[doorbell.ShopID]string{}, map[doorbell.ShopID]bool{}}
	for _, s := range cfg.Shops {
		t.names[doorbell.ShopID(s.ID)] = s.Name
		t.english[doorbell.ShopID(s.ID)] = s.Language == "en"
	}
	return t
}

// message is several messages of the outbox in one, a line for each.
func (t texts) message(messages []doorbell.Outgoing) (m notify.Message, err error) {
	var lines []string
	for i, o := range messages {
		n, err := doorbell.ParseOwnerNotice(o.Body)
		if err != nil {
			return m, fmt.Errorf("read message %d: %w", o.ID, err)
		}
		title, line := t.say(n)
		if i == 0 {
			m.Title = title
		}
		lines = append(lines, line)
	}
	m.Text = strings.Join(lines, "\n")
	return m, nil
}

func (t texts) say(n doorbell.OwnerNotice) (title, line string) {
	shop, english := t.names[n.Shop], t.english[n.Shop]
	if shop == "" {
		shop = fmt.Sprintf("门店 %d", n.Shop)
		if english {
			shop = fmt.Sprintf("Shop %d", n.Shop)
		}
	}
	pick := func(zh, en string) string {
		if english {
			return en
		}
		return zh
	}
	trial := ""
	if n.Test {
		trial = pick("【试运行】", "[test] ")
	}
	switch {
	case n.Event == doorbell.ShopUnattended:
		return trial + pick("门店无人值守", "Nobody attends the shop"), shop + pick("：没有能响铃的控制台，来单将无人听到。", ": no console could ring; the next order would be heard by nobody.")
	case n.Event == doorbell.ShopAttended:
		return trial + pick("门店已恢复值守", "The shop is attended again"), shop + pick("：控制台已恢复。", ": a console can ring again.")
	case n.Alert == nil:
		return trial + pick("测试通知", "Test"), shop + pick("：通知渠道工作正常。", ": this channel works.")
	}
	number := n.Alert.Number
	if number == "" {
		number = strconv.FormatInt(int64(n.Alert.OrderID), 10)
	}
	what := pick("订单", "order")
	if n.Alert.Type == doorbell.Reminder {
		what = pick("催单", "reminder of order")
	}
	return trial + pick("无人接单", "Nobody takes an order"),
		fmt.Sprintf(pick("%[1]s：%[2]s %[3]s 已响 %[4]d 秒无人处理。", "%[1]s: %[2]s %[3]s has rung for %[4]d s and nobody has taken it."), shop, what, number, n.Seconds)
}
