// Package config is what config.yaml and the environment may say.
package config

import (
	"time"
)

// Config is every key. A field's path in yaml tags is its name in messages,
// and, in capitals with underscores behind DOORBELL_, in the environment.
type Config struct {
	Server   Server    `yaml:"server"`
	Data     Data      `yaml:"data"`
	Database Database  `yaml:"database"`
	Bus      Bus       `yaml:"bus"`
	Auth     Auth      `yaml:"auth"`
	Stream   Stream    `yaml:"stream"`
	Limits   Limits    `yaml:"limits"`
	Alerts   Alerts    `yaml:"alerts"`
	Orders   Keep      `yaml:"orders"`
	Inbox    Keep      `yaml:"inbox"`
	Ledger   Keep      `yaml:"ledger"`
	Shops    []Shop    `yaml:"shops"`
	Reminder Reminder  `yaml:"reminder"`
	Time     Time      `yaml:"time"`
	Console  Console   `yaml:"console"`
	Log      Log       `yaml:"log"`
	Pay      Pay       `yaml:"pay"`
	Webhooks []Hook    `yaml:"webhooks"`
	Sky      Sky       `yaml:"sky"`
	Announce Announce  `yaml:"announce"`
	Channels []Channel `yaml:"channels"`
	// Escalation is the ladder of each shop, by its id; default is all others'.
	Escalation map[string][]Rung `yaml:"escalation"`
	Metrics    Metrics           `yaml:"metrics"`
}

// Server is where and how to listen.
type Server struct {
	Addr           string   `yaml:"addr"`
	TrustedProxies []string `yaml:"trusted_proxies"`
	BasePath       string   `yaml:"base_path"`
	PublicURL      string   `yaml:"public_url"`
	TLS            TLS      `yaml:"tls"`
	Admin          string   `yaml:"admin"` // empty: no profiles
}

// Data is where secrets are kept; empty is the database's folder.
type Data struct {
	Dir string `yaml:"dir"`
}

// Database is where everything else is kept.
type Database struct {
	URL string `yaml:"url"`
}

// Bus joins several nodes; empty is this node alone. The URL may hold a password.
type Bus struct {
	URL Secret `yaml:"url"`
}

// Secret is text that no log shows.
type Secret string

// String hides the text from fmt and slog alike.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "…"
}

// Auth is who may.
type Auth struct {
	Secret    Secret   `yaml:"secret"`
	Algorithm string   `yaml:"algorithm"`
	PublicKey string   `yaml:"public_key"`
	JWKSURL   string   `yaml:"jwks_url"`
	Audience  string   `yaml:"audience"`
	Issuer    string   `yaml:"issuer"`
	Origins   []string `yaml:"origins"`

	// SessionLimit is how long a browser stays signed in at most.
	SessionLimit time.Duration `yaml:"session_limit"`
}

// Stream is how streams are kept alive.
type Stream struct {
	Heartbeat    time.Duration `yaml:"heartbeat"`
	WriteTimeout time.Duration `yaml:"write_timeout"`
}

// Limits bound what one client can take of the server; 0 is no bound.
type Limits struct {
	ConnectionsPerAddress int `yaml:"connections_per_address"`
	StreamsPerToken       int `yaml:"streams_per_token"`
	StreamsPerShop        int `yaml:"streams_per_shop"`
	PollsPerSecond        int `yaml:"polls_per_second"` // of one token, with wait=0

	LoginsPerMinute        int `yaml:"logins_per_minute"`         // from one address
	TicketsPerSecond       int `yaml:"tickets_per_second"`        // of one token
	ReadsPerSecond         int `yaml:"reads_per_second"`          // of one token in one shop
	ShopReadsPerSecond     int `yaml:"shop_reads_per_second"`     // of one shop
	SearchesPerSecond      int `yaml:"searches_per_second"`       // of one token in one shop
	ShopSearchesPerSecond  int `yaml:"shop_searches_per_second"`  // of one shop
	RemindersPerMinute     int `yaml:"reminders_per_minute"`      // of one customer
	ShopRemindersPerMinute int `yaml:"shop_reminders_per_minute"` // of one shop
}

// Alerts is how long alerts are kept and what they say.
type Alerts struct {
	Retention time.Duration `yaml:"retention"`
	Unheard   time.Duration `yaml:"unheard"` // 0: nobody is told
	Text      AlertTexts    `yaml:"text"`
}

// Hook is an address that is told what happens.
type Hook struct {
	Name   string   `yaml:"name"`
	URL    string   `yaml:"url"`
	Secret Secret   `yaml:"secret"`
	Events []string `yaml:"events"` // none: all
	Shops  []int64  `yaml:"shops"`  // none: all
}

// AlertTexts has a template per type.
type AlertTexts struct {
	NewOrder  string `yaml:"1"`
	Reminder  string `yaml:"2"`
	TakenCare string `yaml:"3"`
	CalledOff string `yaml:"4"`
}

// Keep is how long something is kept.
type Keep struct {
	Retention time.Duration `yaml:"retention"`
}

// Shop names an outlet.
type Shop struct {
	ID       int64  `yaml:"id"`
	Name     string `yaml:"name"`
	Timezone string `yaml:"timezone"`
	Language string `yaml:"language"`
	// Hours are its business hours, as package hours reads them.
	Hours []string `yaml:"hours"`
}

// Reminder is when a customer may ring.
type Reminder struct {
	Interval time.Duration `yaml:"interval"`
	Statuses []int         `yaml:"statuses"`
}

// Time is the zone of cron and of texts; empty is the machine's.
type Time struct {
	Zone string `yaml:"zone"`
}

// Console is what the page says.
type Console struct {
	Speech Speeches `yaml:"speech"`
	Sounds string   `yaml:"sounds"`
}

// Speeches are the spoken sentences of the types that ring.
type Speeches struct {
	NewOrder Speech `yaml:"1"`
	Reminder Speech `yaml:"2"`
}

// Speech is a sentence in both languages.
type Speech struct {
	Chinese string `yaml:"zh"`
	English string `yaml:"en"`
}

// Log is what is logged beyond the usual.
type Log struct {
	ClientText bool   `yaml:"client_text"`
	Format     string `yaml:"format"` // text or json
}

// Pay is whose callbacks count.
type Pay struct {
	Trial     bool      `yaml:"trial"`
	Addr      string    `yaml:"addr"` // empty: callbacks come in at server.addr alone
	Reconcile Reconcile `yaml:"reconcile"`
	WeChat    WeChat    `yaml:"wechat"`
	Alipay    Alipay    `yaml:"alipay"`
	Stripe    Stripe    `yaml:"stripe"`
	Webhook   Secrets   `yaml:"webhook"`
}

// Configured reports whether any provider is.
func (p Pay) Configured() bool {
	return p.WeChat.Configured() || p.Alipay.Configured() || p.Stripe.Configured() || len(p.Webhook.Secrets) > 0
}

// Reconcile is which unpaid orders providers are asked for, by their age.
type Reconcile struct {
	After time.Duration `yaml:"after"`
	Until time.Duration `yaml:"until"`
}

// Secrets sign a provider's callbacks: one, or several while they are rotated.
type Secrets struct {
	Secrets     []Secret `yaml:"secrets"`
	CheckAmount bool     `yaml:"check_amount"`
}

// Plain returns the secrets as they are.
func (s Secrets) Plain() []string {
	out := make([]string, len(s.Secrets))
	for i, secret := range s.Secrets {
		out[i] = string(secret)
	}
	return out
}

// Announce is the tutorial's timed push.
type Announce struct {
	Cron  string `yaml:"cron"`
	Text  string `yaml:"text"`
	Plain bool   `yaml:"plain"`
}

// Metrics is where figures are read without a token; empty: nowhere.
type Metrics struct {
	Addr string `yaml:"addr"`
}

// Default returns the settings that hold where nothing is set; config.yaml lists the same.
func Default() Config {
	const hour = time.Hour
	return Config{
		Server:   Server{Addr: "127.0.0.1:8080", BasePath: "/"},
		Database: Database{URL: "sqlite://data/doorbell.db"},
		Auth:     Auth{Algorithm: "HS256", SessionLimit: 2160 * hour},
		Stream:   Stream{Heartbeat: 15 * time.Second, WriteTimeout: 10 * time.Second},
		Limits: Limits{
			ConnectionsPerAddress: 5000, StreamsPerToken: 16_000, StreamsPerShop: 16_000, PollsPerSecond: 200,
			LoginsPerMinute: 300, TicketsPerSecond: 200, ReadsPerSecond: 200, ShopReadsPerSecond: 1000,
			SearchesPerSecond: 20, ShopSearchesPerSecond: 40, RemindersPerMinute: 30, ShopRemindersPerMinute: 600,
		},
		Alerts: Alerts{
			Retention: 720 * hour, Unheard: time.Minute,
			Text: AlertTexts{
				NewOrder: "订单号: {{.Number}}", Reminder: "订单号: {{.Number}}",
				TakenCare: "订单号: {{.Number}}", CalledOff: "订单号: {{.Number}}",
			},
		},
		Orders:   Keep{Retention: 2160 * hour},
		Inbox:    Keep{Retention: 2160 * hour},
		Ledger:   Keep{Retention: 26_280 * hour},
		Reminder: Reminder{Interval: time.Minute, Statuses: []int{2, 3, 4}},
		Console: Console{Speech: Speeches{
			NewOrder: Speech{Chinese: "您有新的外卖订单，请及时处理", English: "You have a new order"},
			Reminder: Speech{Chinese: "客户催单，请尽快处理", English: "A customer is asking for an order"},
		}},
		Pay: Pay{
			Reconcile: Reconcile{After: time.Minute, Until: 25 * hour},
			WeChat: WeChat{
				APIURL: "https://api.mch.weixin.qq.com", CheckAmount: true,
				Shops: []int64{}, SubMerchants: []SubMerchant{}, Accounts: []WeChatAccount{},
			},
			Alipay:  Alipay{APIURL: "https://openapi.alipay.com/gateway.do", CheckAmount: true, Shops: []int64{}, Accounts: []AlipayAccount{}},
			Stripe:  Stripe{Secrets: []Secret{}, CheckAmount: true, Shops: []int64{}, Accounts: []StripeAccount{}},
			Webhook: Secrets{Secrets: []Secret{}, CheckAmount: true},
		},
		Webhooks: []Hook{}, Channels: []Channel{}, Escalation: map[string][]Rung{},
		Sky:      Sky{TokenNames: SkyNames{Admin: "token", User: "authentication"}, Zone: "Asia/Shanghai"},
		Log:      Log{Format: "text"},
		Announce: Announce{Text: "这是来自服务端的消息: {{.Time}}"},
	}
}
