package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment/alipay"
	"doorbell/internal/payment/wechat"
)

// TestSettingsAgree: what the settings may name is what there is. The package
// config imports nothing of ours, so both have it written down.
func TestSettingsAgree(t *testing.T) {
	var events []string
	for _, e := range doorbell.EventTypes {
		events = append(events, string(e))
	}
	if diff := cmp.Diff(events, config.HookEvents); diff != "" {
		t.Errorf("webhooks' events (-domain +settings):\n%s", diff)
	}
	pay := config.Default().Pay
	if pay.WeChat.APIURL != wechat.API || pay.Alipay.APIURL != alipay.API {
		t.Errorf("the providers' addresses are %s and %s by default", pay.WeChat.APIURL, pay.Alipay.APIURL)
	}
}
