package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"doorbell/internal/doorbell"
)

// Provider is one payment provider with its settings. All code for it is in its
// own folder; package providers has the only list of providers.
type Provider interface { //nolint:interfacebloat // all there is of one, in one place
	// Endpoint returns the paths and answers of its callbacks. It does not depend on
	// whether an account is configured.
	Endpoint() Endpoint
	// Configured reports whether the settings name an account.
	Configured() bool
	// CheckAmount reports whether a payment must equal its order's amount. It is the
	// setting of the unnamed account, which the simulator plays.
	CheckAmount() bool
	// Accounts returns the accounts with the shops whose payments each receives.
	Accounts() []doorbell.Account
	// Verifiers reads the keys that the settings name, and returns a verifier for
	// each account. Its errors are all faults of the settings, each beginning with
	// the setting's key.
	Verifiers() ([]Named, error)
	// Queriers returns the accounts that can be queried: those with their own key to
	// sign queries. Errors are as those of Verifiers.
	Queriers(ctx context.Context) ([]AskedAccount, error)
	// KeyFiles returns the files that the settings name.
	KeyFiles() []string
}

// Endpoint says where one provider's callbacks arrive and how they are answered.
type Endpoint struct {
	Provider string // its name in settings, paths, the inbox and metrics
	Title    string // its name on the start screen
	// Paths besides /pay/PROVIDER, which exist for every provider, and
	// /pay/PROVIDER/ACCOUNT.
	Paths []string
	// English and Chinese are shown to a person who opens the address in a browser.
	English, Chinese string
	// Taken and Failed answer a callback. Failed's text appears in the provider's
	// log and holds nothing of the body.
	Taken  func(w http.ResponseWriter)
	Failed func(w http.ResponseWriter, status int, message string)
	// Forward is the address to which callbacks are forwarded unchanged; empty:
	// none.
	Forward string
}

// AnswerNoContent is Taken for a provider that looks at the status alone.
func AnswerNoContent(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }

// FailJSON answers a failure in WeChat Pay's format; other providers look at the
// status alone.
func FailJSON(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	body, err := json.Marshal(map[string]string{"code": "FAIL", "message": message})
	if err != nil { // a text can always be encoded
		panic(err)
	}
	_, _ = w.Write(body) // if the provider hung up, it calls again
}

// LoadEach loads a verifier for each of a provider's accounts. load returns the
// account's name; its error begins with the last part of the setting's key.
func LoadEach[A any](provider string, accounts []A, load func(A) (name string, v Verifier, err error)) ([]Named, error) {
	var out []Named
	var faults []error
	for i, a := range accounts {
		name, v, err := load(a)
		if err != nil {
			faults = append(faults, FaultOf(provider, i, name, err))
			continue
		}
		out = append(out, Named{Name: name, Verifier: v})
	}
	return out, errors.Join(faults...)
}

// FaultOf puts the whole key of an account in front of its error.
func FaultOf(provider string, i int, name string, err error) error {
	if name == "" {
		return fmt.Errorf("pay.%s.%w", provider, err)
	}
	return fmt.Errorf("pay.%s.accounts (%s, number %d).%w", provider, name, i+1, err)
}

// Under puts a setting's key in front of an error; nil stays nil.
func Under(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

// ShopIDs converts shop ids to the domain's type.
func ShopIDs(shops []int64) (out []doorbell.ShopID) {
	for _, shop := range shops {
		out = append(out, doorbell.ShopID(shop))
	}
	return out
}
