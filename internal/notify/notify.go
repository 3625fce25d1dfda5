// Package notify tells people: by the chat bots of WeCom, DingTalk, Feishu and
// Telegram, by Bark, ntfy and e-mail.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Message is what somebody is told.
type Message struct {
	Title string
	Text  string
}

// Channel is one way to somebody. Its errors never hold what is secret in its
// address.
type Channel struct {
	service service
	secrets []string
	client  *http.Client
	now     func() time.Time
}

// service makes one message into a call, and judges the answer.
type service interface {
	request(ctx context.Context, m Message, now time.Time) (*http.Request, error)
	// refused returns why a service said no though it answered 200; empty: it
	// did not.
	refused(answer []byte) string
}

// sender is a service that is no HTTP call.
type sender interface {
	send(ctx context.Context, m Message) error
}

const (
	// maxText bounds a message, in bytes: WeCom takes 2,048 of text, Telegram 4,096
	// characters, Bark's push 4 KiB.
	maxText = 2000
	// maxAnswer is how much of an answer is read.
	maxAnswer = 64 << 10
	// maxReason bounds what of a service's reason is told.
	maxReason = 200
)

// Schemes are the services there are.
var Schemes = []string{"wecom", "dingtalk", "feishu", "lark", "telegram", "bark", "ntfy", "smtp", "smtps"}

// errAddress is told of an address that can't be read: url.Parse's own error would
// show all of it.
var errAddress = errors.New("want SCHEME://…, one of " + strings.Join(Schemes, ", "))

// New reads a channel's address and calls nobody. client is for all services but
// e-mail; its redirects are not followed.
func New(address string, client *http.Client) (*Channel, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errAddress
	}
	c := &Channel{client: client, now: time.Now}
	query := u.Query()
	if c.service, err = open(u, query); err != nil {
		return nil, fmt.Errorf("%s: %w", u.Scheme, err)
	}
	for name := range query {
		return nil, fmt.Errorf("%s: unknown parameter %q", u.Scheme, name)
	}
	c.secrets = secretsOf(u)
	return c, nil
}

// take returns a parameter and removes it, so that those that nobody knows are
// left over.
func take(query url.Values, name, fallback string) string {
	value := query.Get(name)
	query.Del(name)
	if value == "" {
		return fallback
	}
	return value
}

func open(u *url.URL, query url.Values) (service, error) {
	user := u.User.Username()
	password, _ := u.User.Password()
	switch u.Scheme {
	case "wecom":
		return wecom{base: take(query, "api", "https://qyapi.weixin.qq.com"), key: u.Host}, need("the bot's key", u.Host)
	case "dingtalk":
		return dingtalk{base: take(query, "api", "https://oapi.dingtalk.com"), token: u.Host, secret: take(query, "secret", "")}, need("the bot's access_token", u.Host)
	case "feishu", "lark":
		host := map[string]string{"feishu": "https://open.feishu.cn", "lark": "https://open.larksuite.com"}[u.Scheme]
		return feishu{base: take(query, "api", host), token: u.Host, secret: take(query, "secret", "")}, need("the bot's token", u.Host)
	case "telegram":
		chat := take(query, "chat", u.Host)
		base := take(query, "api", "https://api.telegram.org")
		return telegram{base: base, token: user + ":" + password, chat: chat}, need("the bot's token and a chat, telegram://123456:TOKEN@CHAT", user, password, chat)
	case "bark":
		base := take(query, "api", "https://"+u.Host)
		return bark{base: base, key: user}, need("the device's key and the server, bark://KEY@api.day.app", user, u.Host)
	case "ntfy":
		base := take(query, "api", "https://"+u.Host)
		topic := strings.Trim(u.Path, "/")
		return ntfy{base: base, topic: topic, user: user, password: password}, need("the server and a topic, ntfy://ntfy.sh/TOPIC", u.Host, topic)
	case "smtp", "smtps":
		return newMail(u, query, user, password)
	default:
		return nil, errAddress
	}
}

func need(what string, parts ...string) error {
	if slices.Contains(parts, "") {
		return errors.New("lacks a part: want " + what)
	}
	return nil
}

// secretsOf lists what of an address must stand in no log.
func secretsOf(u *url.URL) (out []string) {
	password, _ := u.User.Password()
	candidates := []string{u.User.Username(), password, u.Query().Get("secret")}
	switch u.Scheme {
	case "wecom", "dingtalk", "feishu", "lark":
		candidates = append(candidates, u.Host)
	case "ntfy":
		candidates = append(candidates, strings.Trim(u.Path, "/")) // whoever knows a topic reads it
	}
	for _, s := range candidates {
		if s != "" {
			out = append(out, s, url.QueryEscape(s), url.PathEscape(s))
		}
	}
	return out
}

// hide removes what is secret from a text.
func (c *Channel) hide(text string) string {
	for _, s := range c.secrets {
		text = strings.ReplaceAll(text, s, "…")
	}
	return text
}

// Send tells a message and returns once the service has taken it.
func (c *Channel) Send(ctx context.Context, m Message) error {
	m.Text = cut(m.Text, maxText)
	var err error
	if s, ok := c.service.(sender); ok {
		err = s.send(ctx, m)
	} else {
		err = c.call(ctx, m)
	}
	if err == nil {
		return nil
	}
	return errors.New(c.hide(cut(err.Error(), 2*maxReason)))
}

func (c *Channel) call(ctx context.Context, m Message) error {
	req, err := c.service.request(ctx, m, c.now())
	if err != nil {
		return errors.New("the address can't be called")
	}
	res, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", errors.Unwrap(err)) // without the url.Error, which has the address
	}
	defer res.Body.Close() //nolint:errcheck // read
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("HTTP %d%s", res.StatusCode, because(c.service.refused(answer)))
	}
	if why := c.service.refused(answer); why != "" {
		return errors.New("refused" + because(why))
	}
	return nil
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + cut(why, maxReason)
}

// cut shortens a text to so many bytes, in front of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = text[:most-len("…")]
	for len(text) > 0 && text[len(text)-1] >= 0x80 && text[len(text)-1] < 0xc0 {
		text = text[:len(text)-1]
	}
	if n := len(text); n > 0 && text[n-1] >= 0xc0 {
		text = text[:n-1]
	}
	return text + "…"
}

// post is a call with a JSON body.
func post(ctx context.Context, address string, body any) (*http.Request, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
	if err == nil {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	return req, err
}
