package skytest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Backend answers the calls of their page and mini-program that change an order, as
// their Java program does: HTTP 200 with code 1, or 0 and why.
type Backend struct {
	Table *Table
	Addr  string

	server *http.Server
}

// Start listens on Addr, again after Stop.
func (b *Backend) Start() error {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", b.Addr)
	if err != nil {
		return err
	}
	b.Addr = ln.Addr().String()
	b.server = &http.Server{Handler: http.HandlerFunc(b.serve), ReadHeaderTimeout: time.Second}
	go b.server.Serve(ln) //nolint:errcheck // ends with Stop
	return nil
}

// Stop ends it as a killed program ends, in the middle of answers.
func (b *Backend) Stop() error { return b.server.Close() }

func (b *Backend) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	msg := "null"
	code := 1
	if err := b.call(r); err != nil {
		code, msg = 0, strconv.Quote(err.Error())
	}
	_, _ = fmt.Fprintf(w, `{"code":%d,"msg":%s,"data":null}`, code, msg) //nolint:gosec // JSON, whatever is in it; the caller may be gone
}

func (b *Backend) call(r *http.Request) error {
	if r.Method != http.MethodPut {
		return nil // a page's list, say
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		return err
	}
	var in struct {
		ID              json.RawMessage `json:"id"`
		OrderNumber     string          `json:"orderNumber"`
		RejectionReason string          `json:"rejectionReason"`
		CancelReason    string          `json:"cancelReason"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return err
		}
	}
	id, _ := strconv.ParseInt(strings.Trim(string(in.ID), `"`), 10, 64)
	ctx := r.Context()
	switch r.URL.Path {
	case "/admin/order/confirm":
		return b.Table.Confirm(ctx, id)
	case "/admin/order/rejection":
		return b.Table.Reject(ctx, id, in.RejectionReason)
	case "/admin/order/cancel":
		return b.Table.Cancel(ctx, id, in.CancelReason)
	case "/user/order/payment":
		return b.pay(ctx, in.OrderNumber)
	}
	for path, do := range map[string]func(context.Context, int64) error{
		"/user/order/cancel/": b.Table.CancelByUser, "/admin/order/delivery/": b.Table.Deliver, "/admin/order/complete/": b.Table.Complete,
	} {
		if rest, ok := strings.CutPrefix(r.URL.Path, path); ok {
			if id, err = strconv.ParseInt(rest, 10, 64); err != nil {
				return err
			}
			return do(ctx, id)
		}
	}
	return nil
}

// pay leaves WeChat out, as many copies of the tutorial do.
func (b *Backend) pay(ctx context.Context, number string) error {
	var id int64
	if err := b.Table.DB.QueryRowContext(ctx, `select id from orders where number = ? and status = 1`, number).Scan(&id); err != nil {
		return err
	}
	return b.Table.Shortcut(ctx, id)
}
