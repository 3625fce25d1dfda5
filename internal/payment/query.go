package payment

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/smartwalle/alipay/v3"
	"github.com/smartwalle/nsign"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"

	"doorbell/internal/doorbell"
)

// Querier asks a provider what became of an order's payment. Answers are
// verified as callbacks are.
type Querier interface {
	Provider() string
	// Query returns what the provider's callback would have told. Without
	// money it is ErrNotPaid, or ErrClosed where none can come any more; any
	// other error means that the answer is not known.
	Query(ctx context.Context, number string) (doorbell.Notice, error)
}

// What a provider says of an order that is not paid.
var (
	ErrNotPaid = errors.New("not paid")
	ErrClosed  = errors.New("closed unpaid")
)

// Where the providers answer, unless the settings say otherwise: WeChat has a
// second address for when the first is out (api2.mch.weixin.qq.com), Alipay a
// sandbox.
const (
	WeChatAPI = "https://api.mch.weixin.qq.com"
	AlipayAPI = "https://openapi.alipay.com/gateway.do"
)

// queryTimeout bounds one question; both providers advise 5 to 10 s.
const queryTimeout = 10 * time.Second

// asker is an HTTP client that reads within bounds, and goes nowhere else than
// asked. How long it waits is its caller's context's matter: WeChat's SDK does
// not close answers, which leaves a client with a timeout a goroutine each until
// that is over.
func asker(way http.RoundTripper) *http.Client {
	if way == nil {
		way = http.DefaultTransport
	}
	return &http.Client{
		Transport:     wholeAnswers{way},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// wholeAnswers reads each answer, within bounds, and closes it.
type wholeAnswers struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (w wholeAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxBody))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// WeChatQuery asks WeChat Pay by out_trade_no.
type WeChatQuery struct {
	reader *WeChat
	client *core.Client
	api    string
}

// Asking is how questions are signed and where they go.
type Asking struct {
	Key       *rsa.PrivateKey   // the merchant's, or the app's, own
	Serial    string            // WeChat Pay: the merchant certificate's
	API       string            // WeChatAPI, AlipayAPI or another address of them
	Transport http.RoundTripper // nil: the network

	// Alipay's certificate mode: two files, empty in the mode of public keys.
	AppCertificate, RootCertificate string
}

// NewWeChatQuery checks the account.
func NewWeChatQuery(ctx context.Context, a Account, by Asking) (*WeChatQuery, error) {
	reader, err := NewWeChat(a)
	if err != nil {
		return nil, err
	}
	client, err := core.NewClient(ctx, option.WithMerchantCredential(a.MchID, by.Serial, by.Key),
		option.WithVerifier(reader.keys), option.WithHTTPClient(asker(by.Transport)))
	if err != nil {
		return nil, err
	}
	return &WeChatQuery{reader: reader, client: client, api: by.API}, nil
}

// Provider implements Querier.
func (q *WeChatQuery) Provider() string { return q.reader.Provider() }

// Query implements Querier.
func (q *WeChatQuery) Query(ctx context.Context, number string) (doorbell.Notice, error) {
	address := q.api + "/v3/pay/transactions/out-trade-no/" + url.PathEscape(number) + "?mchid=" + url.QueryEscape(q.reader.account.MchID)
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	result, err := q.client.Get(ctx, address)
	if e, ok := errors.AsType[*core.APIError](err); ok {
		if e.Code == "ORDER_NOT_EXIST" || e.Code == "ORDERNOTEXIST" {
			return doorbell.Notice{}, ErrNotPaid // the customer has not come as far as paying
		}
		return doorbell.Notice{}, fmt.Errorf("ask WeChat Pay: HTTP %d, %q", e.StatusCode, e.Code) // its text holds the answer
	}
	if err != nil {
		return doorbell.Notice{}, fmt.Errorf("ask WeChat Pay: %w", err)
	}
	body, err := io.ReadAll(result.Response.Body)
	if err != nil {
		return doorbell.Notice{}, fmt.Errorf("ask WeChat Pay: %w", err)
	}
	var c content
	if json.Unmarshal(body, &c) != nil || c.Number != number {
		return doorbell.Notice{}, errors.New("ask WeChat Pay: it answered for something else")
	}
	switch c.TradeState {
	case "NOTPAY", "USERPAYING", "ACCEPT":
		return doorbell.Notice{}, ErrNotPaid
	case "CLOSED", "REVOKED", "PAYERROR":
		return doorbell.Notice{}, ErrClosed
	}
	n := q.reader.read("TRANSACTION.SUCCESS", c, body)
	if c.TradeState == "REFUND" {
		n.Refusal = "refunded since, in whole or in part"
	}
	return n, nil
}

// AlipayQuery asks Alipay by out_trade_no (alipay.trade.query).
type AlipayQuery struct {
	reader *Alipay
	client *alipay.Client
}

// NewAlipayQuery checks the account.
func NewAlipayQuery(a AlipayAccount, by Asking) (*AlipayQuery, error) {
	reader, err := NewAlipay(a)
	if err != nil {
		return nil, err
	}
	signer := nsign.New(nsign.WithMethod(nsign.NewRSAMethod(crypto.SHA256, by.Key, nil)), nsign.WithEncoder(alipay.Encoder{}))
	client, err := alipayClient(a, signer, by.API, alipay.WithHTTPClient(asker(by.Transport)))
	if err != nil {
		return nil, err
	}
	if by.AppCertificate != "" {
		if err := errors.Join(client.LoadAppCertPublicKeyFromFile(by.AppCertificate), client.LoadAliPayRootCertFromFile(by.RootCertificate)); err != nil {
			return nil, err
		}
	}
	return &AlipayQuery{reader: reader, client: client}, nil
}

// Provider implements Querier.
func (q *AlipayQuery) Provider() string { return q.reader.Provider() }

// Query implements Querier. Alipay's answer names neither app nor seller: that
// it is signed, and the answer to a request signed by this app, has to do.
func (q *AlipayQuery) Query(ctx context.Context, number string) (doorbell.Notice, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var answer alipay.TradeQueryRsp
	err := q.client.Request(ctx, alipay.TradeQuery{OutTradeNo: number}, &answer)
	if e, ok := errors.AsType[*alipay.Error](err); ok {
		answer.Error, err = *e, nil
	}
	if err != nil {
		return doorbell.Notice{}, fmt.Errorf("ask Alipay: %w", err)
	}
	switch {
	case answer.SubCode == "ACQ.TRADE_NOT_EXIST":
		return doorbell.Notice{}, ErrNotPaid
	case !answer.IsSuccess():
		return doorbell.Notice{}, fmt.Errorf("ask Alipay: %q, %q", answer.Code, answer.SubCode)
	case answer.OutTradeNo != number:
		return doorbell.Notice{}, errors.New("ask Alipay: it answered for something else")
	case answer.TradeStatus == alipay.TradeStatusWaitBuyerPay:
		return doorbell.Notice{}, ErrNotPaid
	case answer.TradeStatus == alipay.TradeStatusClosed: // unpaid, or all of it given back
		return doorbell.Notice{}, ErrClosed
	}
	form := url.Values{
		"app_id": {q.reader.account.AppID}, "seller_id": {q.reader.account.SellerID}, "out_trade_no": {answer.OutTradeNo},
		"trade_no": {answer.TradeNo}, "total_amount": {answer.TotalAmount}, "trade_status": {string(answer.TradeStatus)},
	}
	return complete(q.reader.read(form, []byte(form.Encode()))), nil
}
