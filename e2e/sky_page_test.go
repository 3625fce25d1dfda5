package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"doorbell/internal/client"
)

// heard counts the alerts that a console of ours gets.
type heard struct {
	mu  sync.Mutex
	got map[string]int // type/order
}

func (h *heard) count(typ int, order int64) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got[fmt.Sprintf("%d/%d", typ, order)]
}

// follow is such a console, over all restarts.
func (s *skySite) follow() *heard {
	s.t.Helper()
	h := &heard{got: map[string]int{}}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	token := s.token("console", "--shops", "1")
	go func() {
		defer close(done)
		_ = client.Follow(ctx, client.Options{URL: s.base, Token: token, Transport: "ws", Shops: "1", After: "0", Event: func(string, []byte) {}, Alert: func(data []byte) {
			var a struct {
				Type    int
				OrderID int64
			}
			if err := json.Unmarshal(data, &a); err != nil {
				s.t.Error(err)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.got[fmt.Sprintf("%d/%d", a.Type, a.OrderID)]++
		}})
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	return h
}

// open loads their page, signed in.
func (s *skySite) open() *page {
	s.t.Helper()
	p := openPage(s.t, s.front+"other.html")
	p.Page = p.CancelTimeout().Timeout(time.Hour) // a whole day's
	p.js(`(document.cookie = "token=` + s.employee("empId", 1, "itcast") + `; path=/")`)
	if err := p.Navigate(s.front); err != nil {
		s.t.Fatal(err)
	}
	s.connected(p)
	return p
}

func (s *skySite) connected(p *page) {
	s.t.Helper()
	eventually(s.t, "their page is connected", func() bool { return p.js(`document.title`) == "已连接" })
}

// reload is a person who loads the page anew until it is connected.
func (s *skySite) reload(p *page) {
	s.t.Helper()
	s.persist("reload", func() error {
		if err := p.Reload(); err != nil {
			return err
		}
		for range 40 {
			switch p.js(`document.title`) {
			case "已连接":
				return nil
			case "错误", "断开":
				return fmt.Errorf("the page shows %s", p.js(`document.title`))
			}
			p.frame()
		}
		return fmt.Errorf("the page never connected")
	})
}

func (p *page) skyShown() map[string]int {
	var list []string
	_ = json.Unmarshal([]byte(p.js(`localStorage.getItem('shown') || '[]'`)), &list)
	out := map[string]int{}
	for _, one := range list {
		out[one]++
	}
	return out
}
