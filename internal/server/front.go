package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// front is one listening socket with the server behind it.
type front struct {
	server    *http.Server
	ln        net.Listener
	arriving  *arrivals
	accepting chan struct{} // closed when it accepts no more
}

// newFront makes one. visitors bounds the connections of each address; nil:
// nothing does. Without a certificate it speaks plain HTTP.
func newFront(ln net.Listener, handler http.Handler, visitors *visitors, log *slog.Logger, cert *certificate) *front {
	ln = boundedListener{ln, visitors}
	if cert != nil {
		ln = cert.listen(ln)
	}
	f := &front{ln: ln, accepting: make(chan struct{}), server: &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	f.arriving = watchArrivals(f.server)
	f.server.ConnContext = markCrowded(f.server.ConnContext)
	return f
}

// serve accepts until endAccepting, or until ctx ended and something closed
// the socket.
func (f *front) serve(ctx context.Context) error {
	defer close(f.accepting)
	if err := f.server.Serve(f.ln); ctx.Err() == nil || !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// endAccepting closes the socket first: Shutdown cuts a callback that has just arrived. So accepting
// ends first, and what was accepted reaches its handler.
func (f *front) endAccepting(ctx context.Context) error {
	err := f.ln.Close()
	<-f.accepting
	f.arriving.settle(ctx)
	return err
}
