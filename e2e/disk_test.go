package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/wechat"
	"doorbell/internal/testrun"
)

// TestFullDisk fills the server's disk: every answer is a clear error, nothing is
// acknowledged that is not stored, and with free space the server works again by
// itself.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("DOORBELL_TEST_DISK") == "required" {
			t.Fatalf("mount a small disk: %v", err)
		}
		testrun.Skip(t, "needs to mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	s := startServer(t, "DOORBELL_DATABASE_URL=sqlite://"+filepath.Join(data, "doorbell.db"))
	service := s.token("service", "--shops", "1")
	order := func(i int) (int, map[string]any) {
		return s.call("POST", "api/v1/orders", service, map[string]any{"number": fmt.Sprintf("D-%d", i), "shopId": 1, "userId": 1, "amount": 100})
	}
	kept := 0
	status, answer := order(1)
	for status == http.StatusCreated {
		if kept++; kept > 20000 {
			t.Fatal("the disk never filled up")
		}
		status, answer = order(kept + 1)
	}
	if status != http.StatusServiceUnavailable || answer["code"] != "unavailable" || !strings.Contains(fmt.Sprint(answer["detail"]), "nothing was changed") {
		t.Errorf("a full disk: %d %v, want 503 that says so", status, answer)
	}
	players, err := providers.LoadPlayers(data)
	if err != nil {
		t.Fatal(err)
	}
	simulator := players.WeChat
	pay := func() int {
		return s.callback(simulator, wechat.Notice{Content: simulator.Payment("D-1", "T1", 100)})
	}
	if paid := pay(); paid != http.StatusServiceUnavailable {
		t.Errorf("a callback on a full disk: %d, want 503", paid)
	}
	if status, _ := s.call("GET", "api/v1/orders/1", service, nil); status != http.StatusOK {
		t.Errorf("reading on a full disk: %d, want 200", status)
	}
	if res, err := http.Get(s.base + "readyz"); err != nil || statusOf(res) != http.StatusServiceUnavailable {
		t.Errorf("readyz on a full disk: %v", err)
	}
	eventually(t, "the log tells", func() bool { return strings.Contains(s.log.String(), "batch not written") })
	if err := syscall.Mount("tmpfs", data, "tmpfs", syscall.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the callback is taken when there is room", func() bool { return pay() == http.StatusNoContent })
	if _, got := s.call("GET", "api/v1/orders/1", service, nil); got["payStatus"] != float64(1) {
		t.Errorf("order 1 after payment: %v", got)
	}
	if status, _ := order(kept + 1); status != http.StatusCreated {
		t.Errorf("the refused order again: %d, want 201", status)
	}
	if _, got := s.call("GET", "api/v1/alerts?shop=1", service, nil); len(got["alerts"].([]any)) != 1 {
		t.Errorf("alerts %v, want one", got)
	}
}
