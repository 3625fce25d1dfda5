package bus

import (
	"errors"
	"testing"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// breakAndMend makes a broker fail, and checks what both nodes must do meanwhile
// and afterwards.
func breakAndMend(t *testing.T, broker Broker, breaks, mends func()) {
	t.Helper()
	sender, other := runNode(t, broker, testKey), runNode(t, broker, testKey, 1)
	connected(t, sender, other)
	sender.Publish([]doorbell.Alert{alert(1, 1)})
	testrun.Eventually(t, "the first was heard", func() bool { h, _ := other.count(); return h == 1 })
	_, audits := other.count()
	breaks()
	began := time.Now()
	for seq := range doorbell.Seq(3 * maxQueued) {
		sender.Publish([]doorbell.Alert{alert(1, seq+2)})
	}
	if took := time.Since(began); took > 2*time.Second { // for 100,000 of them
		t.Errorf("publishing took %s while the broker was gone", took)
	}
	testrun.Eventually(t, "both know of it", func() bool { return sender.Err() != nil && other.Err() != nil })
	sender.Publish([]doorbell.Alert{alert(1, 2)})
	if sender.Figures().Dropped == 0 {
		t.Error("nothing was counted as dropped")
	}
	mends()
	connected(t, sender, other)
	if _, now := other.count(); now <= audits {
		t.Error("no audit was requested when the bus was connected again")
	}
	testrun.Eventually(t, "what is published then is heard, without another Follow", func() bool {
		sender.Publish([]doorbell.Alert{alert(1, 90000)})
		s := other.seqs()
		return s[len(s)-1] == 90000
	})
	if n := other.Figures().Connects; n < 2 {
		t.Errorf("%d connections, want at least 2", n)
	}
}

func testKill(t *testing.T, b *broker, broker Broker) {
	b.start()
	breakAndMend(t, broker, b.kill, b.start)
}

func testFreeze(t *testing.T, b *broker, broker Broker) {
	b.start()
	breakAndMend(t, broker, b.freeze, b.thaw)
}

func testLate(t *testing.T, b *broker, broker Broker) {
	early, other := runNode(t, broker, testKey), runNode(t, broker, testKey, 1)
	testrun.Eventually(t, "the cause is told", func() bool { return early.Err() != nil && !errors.Is(early.Err(), errNotYet) })
	b.start()
	connected(t, early, other)
	early.Publish([]doorbell.Alert{alert(1, 1)})
	testrun.Eventually(t, "it is heard", func() bool { h, _ := other.count(); return h == 1 })
}

// TestAlone: without a broker nothing is queued and nothing waits.
func TestAlone(t *testing.T) {
	n := runNode(t, nil, testKey, 1)
	for range 2 * maxQueued {
		n.Publish([]doorbell.Alert{alert(1, 1)})
	}
	n.Unfollow(1)
	if n.Err() != nil || !n.Alone() || n.Figures() != (Figures{}) {
		t.Errorf("alone: error %v, figures %+v", n.Err(), n.Figures())
	}
}
