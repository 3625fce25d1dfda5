package wechat

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

// API is WeChat Pay's address unless the settings name another:
// api2.mch.weixin.qq.com serves when the first one fails.
const API = "https://api.mch.weixin.qq.com"

// Asking says how queries are signed and where they are sent.
type Asking struct {
	Key       *rsa.PrivateKey   // the merchant's own
	Serial    string            // the merchant certificate's
	API       string            // API or another address of it
	Transport http.RoundTripper // nil: the network
}

// Querier queries WeChat Pay by out_trade_no.
type Querier struct {
	reader *Verifier
	client *core.Client
	api    string
	sub    string // a partner's sub-merchant; empty: the merchant's own
}

// ForSub returns a querier for a partner's sub-merchant, on the partner's path.
func (q *Querier) ForSub(mchID string) *Querier {
	of := *q
	of.sub = mchID
	return &of
}

func (q *Querier) address(number string) string {
	merchant := url.QueryEscape(q.reader.account.MchID)
	if q.sub != "" {
		return q.api + "/v3/pay/partner/transactions/out-trade-no/" + url.PathEscape(number) + "?sp_mchid=" + merchant + "&sub_mchid=" + url.QueryEscape(q.sub)
	}
	return q.api + "/v3/pay/transactions/out-trade-no/" + url.PathEscape(number) + "?mchid=" + merchant
}

// NewQuerier checks the account.
func NewQuerier(ctx context.Context, a Account, by Asking) (*Querier, error) {
	reader, err := NewVerifier(a)
	if err != nil {
		return nil, err
	}
	client, err := core.NewClient(ctx, option.WithMerchantCredential(a.MchID, by.Serial, by.Key),
		option.WithVerifier(reader.keys), option.WithHTTPClient(payment.Client(by.Transport)))
	if err != nil {
		return nil, err
	}
	return &Querier{reader: reader, client: client, api: by.API}, nil
}

// Provider implements payment.Querier.
func (q *Querier) Provider() string { return q.reader.Provider() }

// Query implements payment.Querier.
func (q *Querier) Query(ctx context.Context, number string) (doorbell.Notice, error) {
	ctx, cancel := context.WithTimeout(ctx, payment.QueryTimeout)
	defer cancel()
	result, err := q.client.Get(ctx, q.address(number))
	if e, ok := errors.AsType[*core.APIError](err); ok {
		if e.Code == "ORDER_NOT_EXIST" || e.Code == "ORDERNOTEXIST" {
			return doorbell.Notice{}, payment.ErrNotPaid // the customer has not reached the payment step
		}
		return doorbell.Notice{}, fmt.Errorf("query WeChat Pay: HTTP %d, %q", e.StatusCode, e.Code) // its text holds the answer's body
	}
	if err != nil {
		return doorbell.Notice{}, fmt.Errorf("query WeChat Pay: %w", err)
	}
	body, err := io.ReadAll(result.Response.Body)
	if err != nil {
		return doorbell.Notice{}, fmt.Errorf("query WeChat Pay: %w", err)
	}
	var c content
	if json.Unmarshal(body, &c) != nil || c.Number != number || q.sub != "" && c.SubMchID != q.sub {
		return doorbell.Notice{}, errors.New("query WeChat Pay: the answer is about another order")
	}
	switch c.TradeState {
	case "NOTPAY", "USERPAYING", "ACCEPT":
		return doorbell.Notice{}, payment.ErrNotPaid
	case "CLOSED", "REVOKED", "PAYERROR":
		return doorbell.Notice{}, payment.ErrClosed
	}
	n := q.reader.read(paySuccess, c, body)
	if c.TradeState == "REFUND" {
		n.Refusal = "refunded since, in whole or in part"
	}
	return n, nil
}
