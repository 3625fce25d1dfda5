package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
)

var (
	consolesDesc = prometheus.NewDesc("doorbell_consoles", "Connected consoles, by transport.", []string{"transport"}, nil)
	rejectedDesc = prometheus.NewDesc("doorbell_callbacks_rejected_total", "Callbacks that did not pass verification, by provider and reason.", []string{"provider", "reason"}, nil)
)

// Describe implements prometheus.Collector.
func (*streams) Describe(out chan<- *prometheus.Desc) { out <- consolesDesc }

// Collect implements prometheus.Collector with the running streams.
func (h *streams) Collect(out chan<- prometheus.Metric) {
	for kind, n := range h.Hub.Streams() {
		out <- prometheus.MustNewConstMetric(consolesDesc, prometheus.GaugeValue, float64(n), kind)
	}
}

// Describe implements prometheus.Collector.
func (h *callbacks) Describe(out chan<- *prometheus.Desc) {
	out <- rejectedDesc
	h.verdicts.Describe(out)
}

// Collect implements prometheus.Collector with the counts of gates and verdicts.
func (h *callbacks) Collect(out chan<- prometheus.Metric) {
	h.verdicts.Collect(out)
	for provider, gate := range h.Gates {
		for reason, n := range gate.Rejections() {
			out <- prometheus.MustNewConstMetric(rejectedDesc, prometheus.CounterValue, float64(n), provider, reason)
		}
	}
}

// newVerdicts counts callbacks.
func newVerdicts() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "doorbell_callbacks_total", Help: "Verified payment callbacks, by provider and verdict.",
	}, []string{"provider", "verdict"})
}

// newRefused counts refusals by a limit.
func newRefused() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "doorbell_refused_total", Help: "Streams and requests refused because a limit was reached, by the limit.",
	}, []string{"limit"})
}

// registered returns a handler for the collectors' metrics, and for those of Go
// and the process.
func registered(all ...prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(all...)
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

// maxScrapes bounds concurrent readers of the metrics: each makes the database
// count its backlog.
const maxScrapes = 4

// routes adds the monitoring routes. An admin's token is needed on loopback as
// well: a proxy on this machine makes every stranger look local, and not every
// proxy sends headers.
func (h *operations) routes(root *gin.RouterGroup) {
	root.GET("/metrics", h.answer(func(c *gin.Context) error {
		g, err := h.grant(c)
		switch {
		case doorbell.CodeOf(err) == auth.TokenMissing:
			return doorbell.Refuse(auth.TokenMissing, "Metrics need an admin's token here; metrics.addr gives them a port of their own without one.", "此处读取指标需要 admin 令牌；也可用 metrics.addr 设置免令牌的专用端口。")
		case err != nil:
			return err
		case g.Role != doorbell.RoleAdmin:
			return doorbell.Refuse(doorbell.Forbidden, "Role %s may not read metrics.", "角色 %s 无权读取指标。", g.Role)
		}
		h.figures.ServeHTTP(c.Writer, c.Request)
		return nil
	}))
}
