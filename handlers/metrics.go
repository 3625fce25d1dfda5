package handlers

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"doorbell/internal/doorbell"
)

// metrics are the doorbell_* series.
type metrics struct {
	registry  *prometheus.Registry
	callbacks *prometheus.CounterVec
}

// Series is a figure of another part of the program.
type Series struct {
	Name, Help string
	Counts     bool // it only rises
	Value      func() float64
}

func newMetrics(h *edge) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		callbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "doorbell_callbacks_total", Help: "Verified payment callbacks, by provider and verdict.",
		}, []string{"provider", "verdict"}),
	}
	for _, more := range h.Series {
		if more.Counts {
			m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: more.Name, Help: more.Help}, more.Value))
		} else {
			m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: more.Name, Help: more.Help}, more.Value))
		}
	}
	m.registry.MustRegister(m.callbacks, live{h}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) callback(provider, verdict string) {
	m.callbacks.WithLabelValues(provider, verdict).Inc()
}

var (
	consolesDesc = prometheus.NewDesc("doorbell_consoles", "Connected consoles, by transport.", []string{"transport"}, nil)
	rejectedDesc = prometheus.NewDesc("doorbell_callbacks_rejected_total", "Callbacks that did not pass verification, by provider and reason.", []string{"provider", "reason"}, nil)
)

// live reads what is counted elsewhere when it is asked.
type live struct{ h *edge }

// Describe implements prometheus.Collector.
func (live) Describe(out chan<- *prometheus.Desc) { out <- consolesDesc; out <- rejectedDesc }

// Collect implements prometheus.Collector.
func (l live) Collect(out chan<- prometheus.Metric) {
	for kind, n := range l.h.Hub.Streams() {
		out <- prometheus.MustNewConstMetric(consolesDesc, prometheus.GaugeValue, float64(n), kind)
	}
	for provider, gate := range l.h.Gates {
		for reason, n := range gate.Rejections() {
			out <- prometheus.MustNewConstMetric(rejectedDesc, prometheus.CounterValue, float64(n), provider, reason)
		}
	}
}

// health has what asks whether the server is there.
func (h *edge) health(root *gin.RouterGroup) {
	root.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	root.GET("/readyz", h.answer(func(c *gin.Context) error {
		if h.draining.Load() {
			return doorbell.Refuse(doorbell.Unavailable, "stopping", "正在停止")
		}
		if err := h.Ready(c.Request.Context()); err != nil {
			return doorbell.Refuse(doorbell.Unavailable, "The database can't serve.", "数据库不可用。").Because(err)
		}
		c.String(http.StatusOK, "ready\n")
		return nil
	}))
}

// operations has what watches the server.
func (h *edge) operations(root *gin.RouterGroup) {
	serve := promhttp.HandlerFor(h.metrics.registry, promhttp.HandlerOpts{})
	root.GET("/metrics", h.answer(func(c *gin.Context) error {
		if !direct(c.Request) {
			g, err := h.grant(c)
			if err != nil {
				return err
			}
			if g.Role != doorbell.RoleAdmin {
				return doorbell.Refuse(doorbell.Forbidden, "Metrics are for loopback or role admin.", "指标仅限本机或 admin 角色访问。")
			}
		}
		serve.ServeHTTP(c.Writer, c.Request)
		return nil
	}))
}

// direct reports whether the request was made on this machine and came through
// no proxy: one on this machine would make every stranger look local.
func direct(r *http.Request) bool {
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "Via", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
