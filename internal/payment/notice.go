package payment

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"doorbell/internal/doorbell"
)

// Unusable returns the notice of a genuine callback with an unreadable field. The
// inbox identifies it by its body and not by its transaction, so that it can't
// replace that transaction's row. The reason names the field and holds nothing of
// the body, because it goes back to the sender.
func Unusable(provider string, body []byte, number, reason string) doorbell.Notice {
	sum := BodyHash(body)
	if !doorbell.ValidNumber(number) {
		number = ""
	}
	return doorbell.Notice{
		Provider: provider, Kind: doorbell.PaymentNotice, Transaction: "body:" + sum[:32], Number: number,
		BodyHash: sum, Refusal: reason, Unusable: true,
	}
}

// Ignored returns the notice of a genuine event that doorbell does not use, with
// the event's own id. The provider gets success for it: Stripe turns off an
// endpoint that keeps failing.
func Ignored(provider, event string, body []byte, reason string) doorbell.Notice {
	n := doorbell.Notice{
		Provider: provider, Kind: doorbell.EventNotice, Transaction: event,
		BodyHash: BodyHash(body), Refusal: reason, Decided: doorbell.Ignored,
	}
	if !validTransaction(event) {
		n.Transaction = "body:" + n.BodyHash[:32]
	}
	return n
}

// ReadJSON decodes a genuine body into v. It returns "", or a text that names the
// first field of the wrong type; the other fields are decoded in both cases.
func ReadJSON(text []byte, v any) (fault string) {
	err := json.Unmarshal(text, v)
	if err == nil {
		return ""
	}
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return "body: want JSON"
	}
	field := wrong.Field
	if field == "" {
		field = "body"
	}
	got, _, _ := strings.Cut(wrong.Value, " ") // "number 12.5" would show received text
	want := "text"
	switch wrong.Type.Kind() {
	case reflect.Int64:
		want = "a whole number"
	case reflect.Bool:
		want = "true or false"
	case reflect.Struct, reflect.Map:
		want = "an object"
	default:
	}
	if want == "a whole number" && got == "number" {
		return field + ": want a whole number, in the currency's smallest unit, of at most 64 bits"
	}
	return field + ": want " + want + ", not " + article(got)
}

// article puts a or an in front of a JSON kind.
func article(kind string) string {
	switch kind {
	case "array", "object":
		return "an " + kind
	case "bool":
		return "true or false"
	default:
		return "a " + kind
	}
}

// Fields are a provider's names for the fields that every notice needs.
type Fields struct {
	Transaction string // the payment's id, or the refund's
	Payment     string // of a refund
	Number      string // empty: the notice may lack it
	Amount      string
	Currency    string
}

// maxTransaction bounds a provider's ids; real ones have 28 to 32 characters.
const maxTransaction = 64

// validTransaction reports whether an id is safe in a log and on a screen:
// bounded, UTF-8, and without characters that a terminal or browser acts upon. It
// refuses U+FFFD, which encoding/json puts for invalid UTF-8 and half surrogate
// pairs: two payments of a sender that writes GBK would become one.
func validTransaction(id string) bool {
	return id != "" && len(id) <= maxTransaction && utf8.ValidString(id) &&
		strings.IndexFunc(id, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) < 0
}

// Complete fills in what identifies a genuine notice in the inbox, and refuses the
// notice where a field is missing or wrong; the reason uses the provider's field
// names.
func Complete(n doorbell.Notice, names Fields) doorbell.Notice {
	id := n.Transaction
	wrong := func(field, what string) {
		if n.Refusal == "" {
			n.Refusal, n.Unusable = field+": "+what, true
			id = "body:" + n.BodyHash[:32] // as in Unusable
		}
	}
	if n.Kind == doorbell.RefundNotice && !validTransaction(n.Payment) {
		wrong(names.Payment, "no transaction id of 1 to 64 printable bytes of UTF-8")
		n.Payment = ""
	}
	if !validTransaction(n.Transaction) {
		wrong(names.Transaction, "no transaction id of 1 to 64 printable bytes of UTF-8")
		id = "body:" + n.BodyHash[:32]
	}
	if !doorbell.ValidNumber(n.Number) {
		if names.Number != "" {
			wrong(names.Number, "no order number")
		}
		n.Number = ""
	}
	if n.Minor < 0 || n.Minor > doorbell.MaxID {
		wrong(names.Amount, "want 0 to 9007199254740991, in the currency's smallest unit")
		n.Minor = 0
	}
	if !doorbell.ValidCurrency(n.Currency) {
		wrong(names.Currency, "want a currency of ISO 4217, say CNY")
		n.Currency = doorbell.DefaultCurrency
	}
	n.Transaction = id
	return n
}

// OneHeader returns a Forgery unless the header occurs once: of two, it is unknown
// which one was signed.
func OneHeader(h http.Header, name string) error {
	switch values := h.Values(name); {
	case len(values) > 1:
		return Forged("header_twice")
	case len(values) == 0 || values[0] == "":
		return Forged("header_missing")
	default:
		return nil
	}
}

// Money returns an amount with the currency in doorbell's spelling.
func Money(minor int64, currency string) doorbell.Money {
	if currency == "" {
		currency = doorbell.DefaultCurrency
	}
	return doorbell.Money{Minor: minor, Currency: strings.ToUpper(currency)}
}

// RefundName returns a name for a refund without an id: its payment and the
// refunded amount tell it from others.
func RefundName(payment, basis string, amount int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", payment, basis, amount))
	return "refund:" + hex.EncodeToString(sum[:16])
}
