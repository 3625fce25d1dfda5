package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-rod/rod/lib/proto"
)

// evening puts twenty paid orders on the board of shop 1, the oldest 14 minutes
// old, each fifth with a reminder. The server's clock can be set, and the player of
// the payment provider has the same.
func (s *server) evening() {
	s.t.Helper()
	env := s.env
	for i := range 20 {
		off := time.Duration(14*60-i*43) * time.Second
		s.jump(-off)
		s.env = append(slices.Clone(env), fmt.Sprintf("TEST_CLOCK_OFF=%d", -int(off.Seconds())))
		pause := "0s"
		if i%5 == 2 {
			pause = "100ms"
		}
		s.run("simulate", "--pause", pause)
	}
	s.jump(0)
	s.env = env
}

// TestTwentyOrders: on a wall all twenty open orders are on the screen at once, on
// every screen no card is cut at its side or covers another one, and the number is
// the largest text. The pictures are those of the documents.
func TestTwentyOrders(t *testing.T) {
	bin, err := jumperBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := startBinary(t, bin)
	s.evening()
	for _, c := range []struct {
		name, language string
		width, height  int
		dark, all      bool
	}{
		{"console", "en", 1920, 1080, false, true},
		{"console-zh", "zh", 1920, 1080, true, true},
		{"console-desktop", "en", 1280, 800, true, false},
		{"console-tablet", "zh", 820, 1180, false, false},
		{"console-phone", "zh", 390, 844, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openPage(t, "about:blank")
			p.size(c.width, c.height)
			language := proto.EmulationSetUserAgentOverride{UserAgent: "Mozilla/5.0 Chrome", AcceptLanguage: c.language}
			if err := language.Call(p); err != nil {
				t.Fatal(err)
			}
			if c.dark {
				p.dark()
			}
			if err := p.Navigate(s.link()); err != nil {
				t.Fatal(err)
			}
			p.waitLink("websocket")
			p.soundOn()
			eventually(t, "twenty cards", func() bool { return p.js(`document.querySelectorAll('#open > .alert').length`) == "20" })
			p.click("#heard")
			p.frame()
			p.shot(c.name)
			var wrong []string
			res, err := p.Eval(wrongPlaces, c.all)
			if err == nil {
				err = res.Value.Unmarshal(&wrong)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range wrong {
				t.Error(w)
			}
		})
	}
}

// wrongPlaces names the cards that are cut, or covered, or whose table is cut, or, where all must be,
// not on the screen, and a number that is not much larger than its card's age.
const wrongPlaces = `(all) => {
  const cards = [...document.querySelectorAll('#open > .alert')].map((li) => ({name: li.dataset.key, r: li.getBoundingClientRect()}));
  const out = [];
  const size = (part) => Number.parseFloat(getComputedStyle(document.querySelector('#open ' + part)).fontSize);
  if (size('.tail') < 2 * size('.age')) out.push('the number that is called out is ' + size('.tail') + ' px, the age ' + size('.age'));
  for (const where of document.querySelectorAll('#open .where')) {
    if (where.scrollWidth > where.clientWidth) out.push(where.closest('li').dataset.key + ' does not show all of ' + where.textContent);
  }
  for (const {name, r} of cards) {
    if (r.left < 0 || r.right > innerWidth) out.push(name + ' is cut at its side');
    if (all && (r.top < 0 || r.bottom > innerHeight)) out.push(name + ' is not on the screen: ' + Math.round(r.top) + ' to ' + Math.round(r.bottom));
    for (const other of cards) {
      const o = other.r;
      if (other.name > name && r.left < o.right - 1 && o.left < r.right - 1 && r.top < o.bottom - 1 && o.top < r.bottom - 1) out.push(name + ' covers ' + other.name);
    }
  }
  return out;
}`
