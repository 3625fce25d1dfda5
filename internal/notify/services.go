package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// whole is title and text in one, for services that have no title.
func (m Message) whole() string { return m.Title + "\n" + m.Text }

// wecom is a group's bot (developer.work.weixin.qq.com/document/path/99110).
type wecom struct{ base, key string }

func (s wecom) request(ctx context.Context, m Message, _ time.Time) (*http.Request, error) {
	return post(ctx, s.base+"/cgi-bin/webhook/send?key="+url.QueryEscape(s.key),
		map[string]any{"msgtype": "text", "text": map[string]any{"content": m.whole()}})
}

func (wecom) refused(answer []byte) string { return errcode(answer) }

// errcode reads the answer of WeCom and DingTalk: 200 with a code of its own.
func errcode(answer []byte) string {
	var a struct {
		Code *int   `json:"errcode"`
		Why  string `json:"errmsg"`
	}
	switch {
	case json.Unmarshal(answer, &a) != nil || a.Code == nil:
		return "the answer is none of the service's"
	case *a.Code != 0:
		return fmt.Sprintf("%d %s", *a.Code, a.Why)
	default:
		return ""
	}
}

// dingtalk is a group's bot (open.dingtalk.com/document/robots/custom-robot-access).
type dingtalk struct{ base, token, secret string }

func (s dingtalk) request(ctx context.Context, m Message, now time.Time) (*http.Request, error) {
	address := s.base + "/robot/send?access_token=" + url.QueryEscape(s.token)
	if s.secret != "" {
		stamp := strconv.FormatInt(now.UnixMilli(), 10)
		address += "&timestamp=" + stamp + "&sign=" + url.QueryEscape(signed(s.secret, stamp+"\n"+s.secret))
	}
	return post(ctx, address, map[string]any{"msgtype": "text", "text": map[string]any{"content": m.whole()}})
}

func (dingtalk) refused(answer []byte) string { return errcode(answer) }

// signed is the HMAC-SHA256 of a text, in base64.
func signed(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// feishu is a group's bot (open.feishu.cn/document/client-docs/bot-v3/add-custom-bot).
type feishu struct{ base, token, secret string }

func (s feishu) request(ctx context.Context, m Message, now time.Time) (*http.Request, error) {
	body := map[string]any{"msg_type": "text", "content": map[string]any{"text": m.whole()}}
	if s.secret != "" { // the text is the key there, and nothing is signed by it
		stamp := strconv.FormatInt(now.Unix(), 10)
		body["timestamp"], body["sign"] = stamp, signed(stamp+"\n"+s.secret, "")
	}
	return post(ctx, s.base+"/open-apis/bot/v2/hook/"+url.PathEscape(s.token), body)
}

func (feishu) refused(answer []byte) string {
	var a struct {
		Code *int   `json:"code"`
		Why  string `json:"msg"`
	}
	switch {
	case json.Unmarshal(answer, &a) != nil || a.Code == nil:
		return "the answer is none of the service's"
	case *a.Code != 0:
		return fmt.Sprintf("%d %s", *a.Code, a.Why)
	default:
		return ""
	}
}

// telegram is a bot (core.telegram.org/bots/api#sendmessage).
type telegram struct{ base, token, chat string }

func (s telegram) request(ctx context.Context, m Message, _ time.Time) (*http.Request, error) {
	return post(ctx, s.base+"/bot"+s.token+"/sendMessage", map[string]any{"chat_id": s.chat, "text": m.whole()})
}

func (telegram) refused(answer []byte) string {
	var a struct {
		OK  bool   `json:"ok"`
		Why string `json:"description"`
	}
	switch {
	case json.Unmarshal(answer, &a) != nil:
		return "the answer is none of the service's"
	case !a.OK:
		return "no: " + a.Why
	default:
		return ""
	}
}

// bark is an iPhone (bark.day.app).
type bark struct{ base, key string }

func (s bark) request(ctx context.Context, m Message, _ time.Time) (*http.Request, error) {
	return post(ctx, s.base+"/push", map[string]any{
		"device_key": s.key, "title": m.Title, "body": m.Text, "level": "critical", "volume": 8, "group": "doorbell",
	})
}

func (bark) refused(answer []byte) string {
	var a struct {
		Code int    `json:"code"`
		Why  string `json:"message"`
	}
	switch {
	case json.Unmarshal(answer, &a) != nil:
		return "the answer is none of the service's"
	case a.Code != http.StatusOK:
		return fmt.Sprintf("%d %s", a.Code, a.Why)
	default:
		return ""
	}
}

// ntfy is a topic (docs.ntfy.sh/publish). A user without a password is a token.
type ntfy struct{ base, topic, user, password string }

func (s ntfy) request(ctx context.Context, m Message, _ time.Time) (*http.Request, error) {
	req, err := post(ctx, s.base+"/", map[string]any{
		"topic": s.topic, "title": m.Title, "message": m.Text, "priority": 5, "tags": []string{"rotating_light"},
	})
	switch {
	case err != nil:
	case s.password != "":
		req.SetBasicAuth(s.user, s.password)
	case s.user != "":
		req.Header.Set("Authorization", "Bearer "+s.user)
	}
	return req, err
}

func (ntfy) refused(answer []byte) string {
	var a struct {
		ID  string `json:"id"`
		Why string `json:"error"`
	}
	switch {
	case json.Unmarshal(answer, &a) != nil || a.ID == "" && a.Why == "":
		return "the answer is none of the service's"
	default:
		return strings.TrimSpace(a.Why)
	}
}
