package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/internal/payment"
	"doorbell/transport"
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
	h.took.Describe(out)
}

// Collect implements prometheus.Collector with the counts of gates and verdicts.
func (h *callbacks) Collect(out chan<- prometheus.Metric) {
	h.verdicts.Collect(out)
	h.took.Collect(out)
	for provider, gate := range h.Gates {
		for reason, n := range gate.Rejections() {
			out <- prometheus.MustNewConstMetric(rejectedDesc, prometheus.CounterValue, float64(n), provider, reason)
		}
	}
}

// newVerdicts counts callbacks. Those that are alarmed for begin at 0: a counter that
// begins with its first event hides this event from a rate.
func newVerdicts(gates map[string]*payment.Gate) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "doorbell_callbacks_total", Help: "Verified payment callbacks, by provider and verdict.",
	}, []string{"provider", "verdict"})
	for provider := range gates {
		v.WithLabelValues(provider, string(doorbell.Settled))
		v.WithLabelValues(provider, notStored)
	}
	return v
}

// notStored stands for the verdict of a callback that was not stored.
const notStored = "failed"

// newTook measures callbacks.
func newTook(gates map[string]*payment.Gate) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "doorbell_callback_commit_seconds", Help: "From a verified payment callback's arrival to its commit, by provider.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, // WeChat Pay waits for 5 s
	}, []string{"provider"})
	for provider := range gates {
		v.WithLabelValues(provider)
	}
	return v
}

// newRefused counts refusals by a limit.
func newRefused(rates paces) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "doorbell_refused_total", Help: "Streams and requests refused because a limit was reached, by the limit.",
	}, []string{"limit"})
	for _, limit := range []string{string(transport.PerAddress), string(transport.PerToken), string(transport.PerShop), pollsPerSecond} {
		v.WithLabelValues(limit)
	}
	for _, p := range []*pace{
		rates.logins, rates.tickets, rates.reads, rates.shopReads, rates.searches, rates.shopSearches, rates.reminders, rates.shopReminders,
	} {
		v.WithLabelValues(p.setting)
	}
	return v
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
