package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// front is a proxy that serves the server's files as those of another version.
type front struct {
	*httptest.Server
	t *testing.T
	s *server

	mu     sync.Mutex
	mark   string // the version that the modules claim; empty: unchanged
	tamper bool   // the modules differ from the list
	hang   bool
	only   int // how many files are served before the server is away; 0: all
	served int
	build  string // what build.js says, where it is given
	lists  map[string][]byte
}

func newFront(t *testing.T, s *server) *front {
	t.Helper()
	to, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{t: t, s: s, lists: map[string][]byte{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: f.alter,
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.holds(r) {
			<-r.Context().Done()
			return
		}
		if f.isModule(r.URL.Path) {
			r.Header.Del("If-None-Match")
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *front) through(link string) string { return strings.Replace(link, f.s.base, f.URL+"/", 1) }

func (f *front) set(change func(*front)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// holds reports whether the request gets no answer.
func (f *front) holds(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.only > 0 && strings.HasPrefix(r.URL.Path, "/static/") {
		f.served++
	}
	return f.hang || f.only > 0 && f.served > f.only
}

func (f *front) isModule(path string) bool {
	return strings.HasPrefix(path, "/static/") && strings.HasSuffix(path, ".js")
}

// as returns a module in front's version.
func (f *front) as(path string, body []byte) []byte {
	if f.build != "" && path == "/static/build.js" {
		body = []byte(f.build)
	}
	if f.mark == "" {
		return body
	}
	return append(bytes.Clone(body), "\n(globalThis.sets ??= new Set()).add('"+f.mark+"');\n"...)
}

func (f *front) alter(res *http.Response) error {
	path := res.Request.URL.Path
	if path != "/shell.json" && !f.isModule(path) || res.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if path == "/shell.json" {
		body = f.list(body)
	} else {
		body = f.as(path, body)
		if f.tamper {
			body = append(body, "\n// altered on its way\n"...)
		}
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	res.Header.Set("Content-Length", strconv.Itoa(len(body)))
	res.Header.Del("ETag")
	return nil
}

// list returns the server's list with the digests of front's version.
func (f *front) list(body []byte) []byte {
	version := f.mark
	if f.build != "" {
		version += "x"
	}
	if f.lists[version] == nil {
		f.lists[version] = f.makeList(body, version)
	}
	return f.lists[version]
}

func (f *front) makeList(body []byte, version string) []byte {
	var list struct {
		Version string            `json:"version"`
		Files   map[string]string `json:"files"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		f.t.Error(err)
	}
	list.Version += version
	for path := range list.Files {
		if !f.isModule("/" + path) {
			continue
		}
		res, err := http.Get(f.s.base + path)
		if err != nil {
			f.t.Error(err)
			return body
		}
		content, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			f.t.Error(err)
		}
		sum := sha256.Sum256(f.as("/"+path, content))
		list.Files[path] = hex.EncodeToString(sum[:])
	}
	out, err := json.Marshal(list)
	if err != nil {
		f.t.Error(err)
	}
	return out
}
