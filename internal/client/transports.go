package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"doorbell/internal/doorbell"
)

// Way returns how requests are sent with this trust; nil: as any client does.
func Way(trust *tls.Config) http.RoundTripper {
	way, ok := http.DefaultTransport.(*http.Transport)
	if trust == nil || !ok {
		return http.DefaultTransport
	}
	way = way.Clone()
	way.TLSClientConfig = trust
	return way
}

// http11 returns trust for a WebSocket's handshake, which HTTP/2 knows none of.
func http11(trust *tls.Config) *tls.Config {
	if trust == nil {
		return nil
	}
	trust = trust.Clone()
	trust.NextProtos = []string{"http/1.1"}
	return trust
}

func (f *follower) request(ctx context.Context, path, wants string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL+path+f.query(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+f.Token)
	res, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // none is the wrong one
	if res.StatusCode != http.StatusOK || kind != wants {
		defer res.Body.Close()                                 //nolint:errcheck // read
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // the status has to do
		return nil, refusal(f.URL+path, res, text)
	}
	return res, nil
}

func (f *follower) webSocket(ctx context.Context) error {
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second, Subprotocols: []string{"doorbell.v1"}, TLSClientConfig: http11(f.TLS)}
	u := "ws" + strings.TrimPrefix(f.URL, "http") + "ws" + f.query()
	c, res, err := d.DialContext( //nolint:bodyclose // the dialer has closed it
		ctx, u, http.Header{"Authorization": {"Bearer " + f.Token}})
	if err != nil {
		if res == nil {
			return err
		}
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // the status has to do
		return refusal(f.URL+"ws", res, text)
	}
	defer c.Close() //nolint:errcheck // over
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	for {
		if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		_, data, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if err := f.dispatch(data); err != nil {
			return err
		}
	}
}

func (f *follower) events(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	res, err := f.request(ctx, "events", "text/event-stream")
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // over
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxLine)
	var data []byte
	for lines.Scan() {
		quiet.Reset(silence)
		line := lines.Bytes()
		if rest, ok := strings.CutPrefix(string(line), "data: "); ok {
			data = []byte(rest)
		}
		if len(line) == 0 && data != nil {
			if err := f.dispatch(data); err != nil {
				return err
			}
			data = nil
		}
	}
	switch err := lines.Err(); {
	case err == nil:
		return errors.New("the stream ended")
	case ctx.Err() != nil: // if it was our caller, nobody reads this
		return fmt.Errorf("no data for %v", silence)
	default:
		return err
	}
}

func (f *follower) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	res, err := f.request(ctx, "poll", "application/json")
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read
	var a struct {
		Cursor string            `json:"cursor"`
		Alerts []json.RawMessage `json:"alerts"`
		Events []json.RawMessage `json:"events"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 16<<20)).Decode(&a); err != nil {
		return fmt.Errorf("read a poll's answer: %w", err)
	}
	if !f.known {
		c, err := doorbell.ParseCursor(a.Cursor)
		if err != nil {
			return err
		}
		f.cursor = doorbell.Cursor{Epoch: c.Epoch, Seqs: map[doorbell.ShopID]doorbell.Seq{}}
	}
	for _, m := range append(a.Events, a.Alerts...) {
		if err := f.dispatch(m); err != nil {
			return err
		}
	}
	c, err := doorbell.ParseCursor(a.Cursor)
	if err != nil {
		return err
	}
	f.cursor, f.known = c, true
	if f.asked > 0 { // it said bye
		return errStopping
	}
	return nil
}

// dispatch tells an event from an alert by its "event".
func (f *follower) dispatch(data []byte) error {
	var e struct {
		Event string `json:"event"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	if e.Event != "" {
		return f.note(e.Event, data)
	}
	f.take(data)
	return nil
}
