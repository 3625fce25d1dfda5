package providers

import (
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/config"
	"doorbell/internal/payment/paysim"
)

// TestEveryProviderIsWhole: each provider has an endpoint with texts and a player
// of the same name; the player understands the endpoint's answers, and the
// provider's verifiers accept the player's callbacks.
func TestEveryProviderIsWhole(t *testing.T) {
	players, err := NewPlayers()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, p := range All(config.Default().Pay) {
		e := p.Endpoint()
		player := players.Of(e.Provider)
		if player == nil || players.All()[i].Name() != e.Provider {
			t.Fatalf("%s has no player in its place", e.Provider)
		}
		for _, path := range append(slices.Clone(e.Paths), "/pay/"+e.Provider) {
			if seen[path] {
				t.Errorf("%s is listed twice", path)
			}
			seen[path] = true
		}
		if e.Title == "" || e.English == "" || e.Chinese == "" {
			t.Errorf("%s lacks a text: %+v", e.Provider, e)
		}
		taken, failed := httptest.NewRecorder(), httptest.NewRecorder()
		e.Taken(taken)
		e.Failed(failed, 503, "busy")
		if !player.Taken(taken.Code, taken.Body.String()) || player.Taken(failed.Code, failed.Body.String()) {
			t.Errorf("%s understands %d %s as success, and %d %s as failure", e.Provider, taken.Code, taken.Body, failed.Code, failed.Body)
		}
		if p.Configured() {
			t.Errorf("%s is configured by default", e.Provider)
		}
		v, err := paysim.Verifier(player)
		if err != nil {
			t.Fatal(err)
		}
		c, err := player.Paid(paysim.Payment{Number: "A-1", Transaction: "T-1", Minor: 1})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := v.Verify(t.Context(), c.Header, c.Body); err != nil || n.Number != "A-1" || n.Provider != e.Provider {
			t.Errorf("%s: %+v, %v", e.Provider, n, err)
		}
	}
}

// TestKeysAreKept: keys survive a restart, also those that an older version wrote
// in another order.
func TestKeysAreKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadPlayers(dir); !os.IsNotExist(err) {
		t.Errorf("without a file: %v", err)
	}
	first, err := EnsurePlayers(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := EnsurePlayers(dir)
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b *Players) bool {
		return a.WeChat.Key.Equal(b.WeChat.Key) && a.WeChat.APIv3Key == b.WeChat.APIv3Key && a.Alipay.Key.Equal(b.Alipay.Key) &&
			a.Stripe.Secret == b.Stripe.Secret && a.Webhook.Secret == b.Webhook.Secret
	}
	if !same(first, again) || first.WeChat.APIv3Key == "" || first.Stripe.Secret == "" || first.Webhook.Secret == "" {
		t.Error("other keys after a restart, or none")
	}
	if diff := cmp.Diff([]string{"wechat", "alipay", "stripe", "webhook"}, Names()); diff != "" {
		t.Error(diff)
	}
}

// TestKeysOfNodesThatStartAtOnce: all of one folder have the same.
func TestKeysOfNodesThatStartAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all [8]*Players
	var starting sync.WaitGroup
	for i := range all {
		starting.Go(func() {
			p, err := EnsurePlayers(dir)
			if err != nil {
				t.Error(err)
			}
			all[i] = p
		})
	}
	starting.Wait()
	for _, p := range all {
		if p != nil && p.Stripe.Secret != all[0].Stripe.Secret {
			t.Error("two nodes have other keys")
		}
	}
}
