package alipay

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	sdk "github.com/smartwalle/alipay/v3"
	"github.com/smartwalle/nsign"

	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
)

// API is Alipay's address unless the settings name another, for example the
// sandbox.
const API = "https://openapi.alipay.com/gateway.do"

// Asking says how queries are signed and where they are sent.
type Asking struct {
	Key       *rsa.PrivateKey   // the app's own
	API       string            // API or another address of it
	Transport http.RoundTripper // nil: the network

	// Certificate mode needs both files; with public keys both are empty.
	AppCertificate, RootCertificate string
}

// Querier queries Alipay by out_trade_no (alipay.trade.query).
type Querier struct {
	reader *Verifier
	client *sdk.Client
}

// NewQuerier checks the account.
func NewQuerier(a Account, by Asking) (*Querier, error) {
	reader, err := NewVerifier(a)
	if err != nil {
		return nil, err
	}
	signer := nsign.New(nsign.WithMethod(nsign.NewRSAMethod(crypto.SHA256, by.Key, nil)), nsign.WithEncoder(sdk.Encoder{}))
	client, err := newClient(a, signer, by.API, sdk.WithHTTPClient(payment.Client(by.Transport)))
	if err != nil {
		return nil, err
	}
	if by.AppCertificate != "" {
		if err := client.LoadAppCertPublicKeyFromFile(by.AppCertificate); err != nil {
			return nil, fmt.Errorf("app_certificate: %s: %w", by.AppCertificate, err)
		}
		if err := client.LoadAliPayRootCertFromFile(by.RootCertificate); err != nil {
			return nil, fmt.Errorf("root_certificate: %s: %w", by.RootCertificate, err)
		}
	}
	return &Querier{reader: reader, client: client}, nil
}

// Provider implements payment.Querier.
func (q *Querier) Provider() string { return q.reader.Provider() }

// Query implements payment.Querier. Alipay's answer names neither app nor seller;
// the only proof is that it is signed and answers a request signed by this app.
func (q *Querier) Query(ctx context.Context, number string) (doorbell.Notice, error) {
	ctx, cancel := context.WithTimeout(ctx, payment.QueryTimeout)
	defer cancel()
	var answer sdk.TradeQueryRsp
	err := q.client.Request(ctx, sdk.TradeQuery{OutTradeNo: number}, &answer)
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		answer.Error, err = *e, nil
	}
	if err != nil {
		return doorbell.Notice{}, fmt.Errorf("query Alipay: %w", err)
	}
	switch {
	case answer.SubCode == "ACQ.TRADE_NOT_EXIST":
		return doorbell.Notice{}, payment.ErrNotPaid
	case !answer.IsSuccess():
		return doorbell.Notice{}, fmt.Errorf("query Alipay: %q, %q", answer.Code, answer.SubCode)
	case answer.OutTradeNo != number:
		return doorbell.Notice{}, errors.New("query Alipay: the answer is about another order")
	case answer.TradeStatus == sdk.TradeStatusWaitBuyerPay:
		return doorbell.Notice{}, payment.ErrNotPaid
	case answer.TradeStatus == sdk.TradeStatusClosed: // unpaid, or refunded in full
		return doorbell.Notice{}, payment.ErrClosed
	}
	// A callback with another state is dropped, but the answer to a query is not: it
	// is stored as refused, for somebody to look into.
	form := url.Values{
		"app_id": {q.reader.account.AppID}, "seller_id": {q.reader.account.SellerID}, "out_trade_no": {answer.OutTradeNo},
		"trade_no": {answer.TradeNo}, "total_amount": {answer.TotalAmount}, "trade_status": {string(sdk.TradeStatusSuccess)},
	}
	n := q.reader.read(form, []byte(form.Encode()))
	if n.Refusal == "" && answer.TradeStatus != sdk.TradeStatusSuccess && answer.TradeStatus != sdk.TradeStatusFinished {
		n.Refusal = "not a success"
	}
	return n, nil
}
