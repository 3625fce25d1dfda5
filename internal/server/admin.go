package server

import (
	"net/http"
	"net/http/pprof" // its registration on the default mux serves nobody: no listener has that one

	"doorbell/internal/config"
)

// admin returns the handler of server.admin: Go's profiles below /debug/pprof/, and
// nothing else. Only names of loopback are answered: a page in this machine's browser
// could otherwise read the profiles by a name of its own that leads here.
func admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !config.OnLoopback(r.Host) && !config.OnLoopback(r.Host+":80") { // the port may be left out
			http.Error(w, "only as 127.0.0.1, ::1 or localhost", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
