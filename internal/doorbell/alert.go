package doorbell

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// Type is what an alert tells, with the numbers of the contract.
type Type int

// The types of alert. A NewOrder or Reminder rings until a TakenCare or
// CalledOff of the same order follows it.
const (
	NewOrder  Type = 1
	Reminder  Type = 2
	TakenCare Type = 3
	CalledOff Type = 4
)

// Types are all of them.
var Types = []Type{NewOrder, Reminder, TakenCare, CalledOff}

// Rings reports whether an alert of this type rings until it is closed.
func (t Type) Rings() bool { return t == NewOrder || t == Reminder }

// Source says whose ids an alert's order id is of.
type Source string

// The sources of alerts.
const (
	FromOrder Source = "order"    // an order kept here
	External  Source = "external" // came by POST /api/v1/alerts
)

// Seq is an alert's number in its shop's log: from 1, gapless, in commit order.
type Seq int64

// Alert is one line of a shop's log.
type Alert struct {
	Type    Type
	OrderID OrderID
	Content string
	Shop    ShopID
	Seq     Seq
	Number  string
	Source  Source
	Time    time.Time // UTC, cut to the millisecond
	Test    bool      // written on trial
	Actor   string    // who caused it; not sent to consoles
	Link              // not sent to consoles
}

// Link says where an alert stands in the log's one timeline. A log that lost its
// tail gives the same seqs to other alerts once it grows again: numbers alone
// can't tell them apart.
type Link struct {
	Epoch string // the log's when it was committed; empty in what was read later
	Nonce Nonce  // the alert's own
	Prev  Nonce  // of the alert before it in its shop; 0 in what was read later
}

// Nonce is drawn for each alert in the transaction that commits it. 0 is none: it
// was written before there were any, or its row was pruned. That tells nothing, and
// fits every other.
type Nonce int64

// PeerAlert is an alert that another node has committed, as nodes tell each other.
type PeerAlert struct {
	Link
	Shop ShopID
	Seq  Seq
	Type Type
	Data []byte // the alert as Encode returns it; empty: to be read from the log
}

// Fits reports whether both can be the same alert's.
func (n Nonce) Fits(other Nonce) bool { return n == other || n == 0 || other == 0 }

// TimeLayout is how times stand in JSON: UTC, always three digits.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON returns the alert as every transport sends it, byte for byte.
func (a Alert) MarshalJSON() ([]byte, error) { return a.Encode(), nil }

// Encode returns what MarshalJSON does. Every alert passes it, so it goes without
// reflection: 0.4 µs instead of 0.8, and one allocation instead of four.
func (a Alert) Encode() []byte {
	b := make([]byte, 0, 192+len(a.Content)+len(a.Number))
	b = strconv.AppendInt(append(b, `{"type":`...), int64(a.Type), 10)
	b = strconv.AppendInt(append(b, `,"orderId":`...), int64(a.OrderID), 10)
	b = appendText(append(b, `,"content":`...), a.Content)
	b = strconv.AppendInt(append(b, `,"shopId":`...), int64(a.Shop), 10)
	b = strconv.AppendInt(append(b, `,"seq":`...), int64(a.Seq), 10)
	b = appendText(append(b, `,"number":`...), a.Number)
	b = appendText(append(b, `,"source":`...), string(a.Source))
	b = a.Time.UTC().AppendFormat(append(b, `,"time":"`...), TimeLayout)
	b = append(b, '"')
	if a.Test {
		b = append(b, `,"test":true`...)
	}
	return append(b, '}')
}

// appendText appends s as a JSON string, as encoding/json does where it leaves
// < > & alone.
func appendText(b []byte, s string) []byte {
	if plainText(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // a string always encodes
		panic(err)
	}
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}

// plainText reports whether s stands in JSON as it is. U+2028 and U+2029 do in
// JSON, and not in JavaScript.
func plainText(s string) bool {
	for _, r := range s {
		if r < ' ' || r == '"' || r == '\\' || r == 0x7f || r == utf8.RuneError || r == 0x2028 || r == 0x2029 {
			return false
		}
	}
	return true
}

// Instant returns t as doorbell stores times: UTC, cut to the millisecond that all
// three databases keep.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// MaxContent bounds an alert's text, in characters.
const MaxContent = 500

// Raise is what a shop's own system asks to be rung: the body of
// POST /api/v1/alerts.
type Raise struct {
	Type    Type    `json:"type"`
	Shop    ShopID  `json:"shopId"`
	OrderID OrderID `json:"orderId"`
	Number  string  `json:"number"`
	Content string  `json:"content"`
	Detail
}

// Check returns an Invalid that names every bad field, or nil.
func (r Raise) Check() error {
	var fields []Field
	bad := func(field, message string) { fields = append(fields, Field{field, message}) }
	if r.Type < NewOrder || r.Type > CalledOff {
		bad("type", "must be 1 (new order), 2 (reminder), 3 (taken care of) or 4 (called off)")
	}
	if r.Shop < 1 || r.Shop > MaxID {
		bad("shopId", "must be from 1 to 9007199254740991")
	}
	switch {
	case r.OrderID < 0 || r.OrderID > MaxID:
		bad("orderId", "must be from 1 to 9007199254740991")
	case r.OrderID == 0 && r.Number == "":
		bad("orderId", "or number must be given")
	}
	if r.Number != "" && !ValidNumber(r.Number) {
		bad("number", "must be 1 to 64 of 0-9 A-Z a-z _ - | * @")
	}
	if !utf8.ValidString(r.Content) || utf8.RuneCountInString(r.Content) > MaxContent {
		bad("content", fmt.Sprintf("must be UTF-8 of at most %d characters", MaxContent))
	}
	if strings.ContainsAny(r.Content, "\r\n\x00") {
		bad("content", "must be one line")
	}
	r.check(bad)
	if fields == nil {
		return nil
	}
	e := Refuse(Invalid, "The alert has bad fields: %s.", "提醒字段有误：%s。", fieldNames(fields))
	e.Fields = fields
	return e
}

// orderID returns the given id, else one derived from the number: the same for the
// same shop and number for ever, between 2^52 and 2^53 so that it is not taken
// for a counted one.
func (r Raise) orderID() OrderID {
	if r.OrderID != 0 {
		return r.OrderID
	}
	h := sha256.Sum256(fmt.Appendf(nil, "%d/%s", r.Shop, r.Number))
	return OrderID(1<<52 | binary.BigEndian.Uint64(h[:])>>12&(1<<52-1))
}

// Texts make an alert's content from its order.
type Texts struct{ templates map[Type]*template.Template }

// ParseTexts reads one template per type. Each may use {{.Number}},
// {{.OrderID}} and {{.ShopID}}; another field, or a text of several lines, is
// an error here and not when a payment comes.
func ParseTexts(texts map[Type]string) (Texts, error) {
	out := Texts{templates: map[Type]*template.Template{}}
	for _, t := range Types {
		tmpl, err := template.New("text").Option("missingkey=error").Parse(texts[t])
		if err != nil {
			return Texts{}, fmt.Errorf("alerts.text.%d: %w", t, err)
		}
		out.templates[t] = tmpl
		s, err := out.render(t, Order{Number: "1", ID: 1, Shop: 1})
		if err != nil {
			return Texts{}, fmt.Errorf("alerts.text.%d: %w", t, err)
		}
		if s == "" || strings.ContainsAny(s, "\r\n") || utf8.RuneCountInString(s) > MaxContent {
			return Texts{}, fmt.Errorf("alerts.text.%d: must be one line of 1 to %d characters", t, MaxContent)
		}
	}
	return out, nil
}

func (x Texts) render(t Type, o Order) (string, error) {
	var b strings.Builder
	err := x.templates[t].Execute(&b, map[string]any{"Number": o.Number, "OrderID": int64(o.ID), "ShopID": int64(o.Shop)})
	return b.String(), err
}

// For returns the content of an alert of type t about o.
func (x Texts) For(t Type, o Order) string {
	s, err := x.render(t, o)
	if err != nil { // ParseTexts has run this template with the same fields
		return o.Number
	}
	return s
}
