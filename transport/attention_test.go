package transport

import (
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
)

// TestAttention: a console counts while it has lately reported that it can be
// heard. An open connection alone does not count, nor does a plain client.
func TestAttention(t *testing.T) {
	inBubble(t, func(t *testing.T, h *Hub, _ *fakeLog) {
		cook := doorbell.Grant{Subject: "cook"}
		want := func(what string, n int, reasons ...string) {
			t.Helper()
			synctest.Wait()
			got := h.Attention(1)
			if got.Attentive != n || len(got.Consoles) != len(reasons) {
				t.Fatalf("%s: %+v, want %d attentive of %d", what, got, n, len(reasons))
			}
			for i, reason := range reasons {
				if c := got.Consoles[i]; c.Reason != reason {
					t.Errorf("%s: console %d has reason %q, want %q", what, i, c.Reason, reason)
				}
			}
			if _, attended := h.AttentiveUntil()[1]; attended != (n > 0) {
				t.Errorf("%s: AttentiveUntil says %v", what, attended)
			}
		}
		say := func(console string, audible bool, reason string) {
			t.Helper()
			if !h.SetHearing(console, cook, Hearing{Audible: audible, Reason: reason}) {
				t.Fatal("the report was not accepted")
			}
		}
		want("nobody", 0)
		plain, _ := open(t, h, Subscription{Grant: cook, Plain: true})
		go plain.Run(t.Context(), &fakeSink{})
		time.Sleep(time.Second)
		tablet, _ := open(t, h, Subscription{Grant: cook})
		go tablet.Run(t.Context(), &fakeSink{})
		want("they have said nothing", 0, "plain", "not_reported")
		say(plain.ID(), true, "")
		say(tablet.ID(), true, "")
		began := time.Now()
		want("it can be heard", 1, "plain", "")
		say(tablet.ID(), false, "")
		want("muted", 0, "plain", "not_audible")
		say(tablet.ID(), false, "not_heard")
		want("nobody heard the test", 0, "plain", "not_heard")
		if since := h.Attention(1).Since; !since.Equal(doorbell.Instant(began)) {
			t.Errorf("without attention since %v, want %v", since, began)
		}
		time.Sleep(10 * time.Second)
		began = time.Now()
		for range 6 {
			say(tablet.ID(), true, "quiet_hours")
			want("quiet hours end by themselves", 1, "plain", "quiet_hours")
			time.Sleep(time.Minute)
		}
		if since := h.Attention(1).Since; !since.Equal(doorbell.Instant(began)) {
			t.Errorf("attended since %v, want %v", since, began)
		}
		last := time.Now().Add(-time.Minute)
		time.Sleep(11 * time.Second)
		want("frozen, its socket is open", 0, "plain", "stale")
		if since := h.Attention(1).Since; !since.Equal(doorbell.Instant(last.Add(HearingFresh))) {
			t.Errorf("stale since %v, want %v", since, last.Add(HearingFresh))
		}
		say(tablet.ID(), true, "")
		want("thawed", 1, "plain", "")
		h.NoteReceipt(tablet.ID(), doorbell.Shown, time.Now())
		if at := h.Attention(1).Consoles[1].LastSounded; !at.IsZero() {
			t.Errorf("sounded at %v, but the alert was only shown", at)
		}
		h.NoteReceipt(tablet.ID(), doorbell.Sounded, time.Now())
		if at := h.Attention(1).Consoles[1].LastSounded; at.IsZero() {
			t.Error("did not sound")
		}
		left := time.Now()
		tablet.Leave(t.Context(), 0, "gone")
		want("gone", 0, "plain")
		if since := h.Attention(1).Since; !since.Equal(doorbell.Instant(left)) {
			t.Errorf("left alone since %v, want %v", since, left)
		}
		say(tablet.ID(), true, "") // it leaves after its last report
		want("gone all the same", 0, "plain")
		plain.Leave(t.Context(), 0, "gone")
	})
}
