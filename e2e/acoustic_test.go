package e2e

import (
	"encoding/base64"
	le "encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-rod/rod"
	"github.com/go-rod/rod/lib/launcher"
	"github.com/go-rod/rod/lib/proto"
)

const wavRate = 48_000 // Hz

// writeWAV writes samples, -1 to 1, as a WAV file of 16 bits.
func writeWAV(t *testing.T, name string, samples []float32) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".wav")
	data := 2 * uint32(len(samples))
	out := append([]byte("RIFF"), le.LittleEndian.AppendUint32(nil, 36+data)...)
	out = append(out, "WAVEfmt "...)
	for _, v := range []uint32{16, 1<<16 | 1, wavRate, 2 * wavRate, 16<<16 | 2} { // PCM, one channel
		out = le.LittleEndian.AppendUint32(out, v)
	}
	out = le.LittleEndian.AppendUint32(append(out, "data"...), data)
	for _, s := range samples {
		out = le.LittleEndian.AppendUint16(out, uint16(int16(32767*max(-1, min(1, s)))))
	}
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// chimeOf renders a chime with the page's own module.
func (p *page) chimeOf(tune string) []float32 {
	p.t.Helper()
	res, err := p.Eval(`async (tune, rate) => {
		const { playChime } = await import(new URL('static/console/sound/chime.js', document.baseURI));
		const c = new OfflineAudioContext(1, 0.8 * rate, rate);
		playChime(c, tune, 0.5, 0.02);
		const samples = (await c.startRendering()).getChannelData(0);
		return btoa(Array.from(new Uint8Array(samples.buffer), (b) => String.fromCharCode(b)).join(''));
	}`, tune, wavRate)
	if err != nil {
		p.t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(res.Value.Str())
	if err != nil {
		p.t.Fatal(err)
	}
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(le.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

// openHearing opens a page in a browser whose microphone hears a WAV file, again and
// again; without a file, in one that refuses the microphone.
func openHearing(t *testing.T, wav, url string) *page {
	t.Helper()
	l := launcher.New().Bin(need(t, "chromium")).Leakless(false).HeadlessNew(true).NoSandbox(true).
		Set("disable-gpu").Set("disable-quic").Set("no-first-run").Set("disable-background-networking").Set("disable-component-update").Set("disable-sync")
	if wav != "" {
		l = l.Set("use-fake-ui-for-media-stream").Set("use-fake-device-for-media-stream").Set("use-file-for-fake-audio-capture", wav)
	}
	at, err := l.Launch()
	if err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	t.Cleanup(func() { l.Kill(); l.Cleanup() })
	b := rod.New().ControlURL(at)
	if err := b.Connect(); err != nil {
		t.Fatalf("connect to chromium: %v", err)
	}
	if wav == "" {
		refuse := proto.BrowserSetPermission{Permission: &proto.BrowserPermissionDescriptor{Name: "microphone"}, Setting: proto.BrowserPermissionSettingDenied}
		if err := refuse.Call(b); err != nil {
			t.Fatal(err)
		}
	}
	return openTab(t, b, url)
}

// sent collects what a page sends: each request's method, address and body, and
// each frame of a WebSocket.
func (p *page) sent() func() []string {
	p.t.Helper()
	if err := (proto.NetworkEnable{}).Call(p); err != nil {
		p.t.Fatal(err)
	}
	var mu sync.Mutex // guards all
	var all []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, s)
	}
	go p.EachEvent(func(e *proto.NetworkRequestWillBeSent) {
		note(e.Request.Method + " " + e.Request.URL + " " + e.Request.PostData)
	}, func(e *proto.NetworkWebSocketFrameSent) {
		note("frame " + e.Response.PayloadData)
	})()
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}
}

// TestChimeHeardByMicrophone: with the check switched on, a console whose microphone
// gets its chime says that it was heard; one that gets silence, noise or
// another chime, or whose browser refuses one, says so, and after two chimes it no longer counts as
// a console that can ring. Nothing that was recorded leaves the page.
func TestChimeHeardByMicrophone(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	studio := openPage(t, s.base)
	noise := studio.chimeOf("marimba")
	for i := range noise {
		noise[i] += 0.1 * (2*rand.Float32() - 1)
	}
	console := s.token("console", "--shops", "1")
	for _, c := range []struct {
		name, wav, state, reason string
		audible                  bool
	}{
		{"its chime", writeWAV(t, "bell", studio.chimeOf("bell")), "heard", "chime_heard", true},
		{"another chime in noise", writeWAV(t, "noise", noise), "missed", "chime_not_heard", false},
		{"silence", writeWAV(t, "silence", make([]float32, wavRate)), "missed", "chime_not_heard", false},
		{"refused", "", "unavailable", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := openHearing(t, c.wav, s.link())
			sent := p.sent()
			p.waitLink("websocket")
			p.soundOn()
			if state := p.js(`document.getElementById('microphone').dataset.state ?? ''`); state != "" {
				t.Errorf("the microphone is %q before anybody switched it on", state)
			}
			p.click("#settings")
			p.click("#settings-dialog .row:has(+ #microphone) input")
			found := `document.getElementById('microphone').dataset.state`
			eventually(t, "the check says "+c.state, func() bool { return p.js(found) == c.state })
			p.js(`document.getElementById('microphone').dataset.state = ''`)
			p.click("#settings-dialog .buttons button") // a second chime
			eventually(t, "the check says "+c.state+" again", func() bool { return p.js(found) == c.state })
			if shown := p.js(`!document.getElementById('ear').hidden`); shown != boolText(c.state != "heard") {
				t.Errorf("the banner is shown: %s", shown)
			}
			p.shot("microphone-" + strings.ReplaceAll(c.name, " ", "-"))
			own := p.js(`document.getElementById('link').dataset.console`)
			eventually(t, "the server knows", func() bool {
				var got struct {
					Consoles []struct {
						Console, Reason string
						Attentive       bool
					}
				}
				if err := s.ask("GET", "api/v1/shops/1/attention", console, &got); err != nil {
					return false
				}
				for _, one := range got.Consoles {
					if one.Console == own {
						return one.Reason == c.reason && one.Attentive == c.audible
					}
				}
				return false
			})
			for _, request := range sent() {
				if len(request) > 600 || strings.HasPrefix(request, "POST") && !strings.Contains(request, "/login ") || strings.Contains(request, "blob:") {
					t.Errorf("the page sent %.300s", request)
				}
			}
			if len(sent()) < 5 {
				t.Errorf("%d requests were seen", len(sent()))
			}
			if errs := p.counts().Errors; len(errs) != 0 {
				t.Errorf("errors on the page: %v", errs)
			}
			p.MustNavigate(s.base + "doctor")
			p.click("#hearing button")
			grade := map[string]string{"heard": "ok", "missed": "bad", "unavailable": "warn"}[c.state]
			eventually(t, "the doctor's finding is "+grade, func() bool { return p.js(`document.getElementById('ear').dataset.grade`) == grade })
			p.shot("doctor-microphone-" + strings.ReplaceAll(c.name, " ", "-"))
		})
	}
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
