package server

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doorbell/internal/bus"
	"doorbell/internal/logqueue"
)

// counter returns a figure that only rises.
func counter(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
}

// gauge returns a figure that rises and falls.
func gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

// collectors returns the figures of the parts that the HTTP edge does not know.
func (s *Server) collectors() []prometheus.Collector {
	count := func(name, help string, value func() int64) prometheus.Collector {
		return counter(name, help, func() float64 { return float64(value()) })
	}
	backlog := func(pick func(waiting, givenUp int64) int64) func() float64 {
		return func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			waiting, givenUp, err := s.store.Backlog(ctx)
			if err != nil {
				return -1 // told by readyz and the log as well
			}
			return float64(pick(waiting, givenUp))
		}
	}
	return append(slices.Concat(s.busCollectors(), s.certificate.collectors(), s.measures.collectors(), s.hubCollectors()), []prometheus.Collector{
		gauge("doorbell_store_waiting", "Changes that wait for the database.", func() float64 { return float64(s.store.Waiting()) }),
		gauge("doorbell_store_failing", "Whether the last write to the database failed (1).", func() float64 {
			if s.store.Failing() {
				return 1
			}
			return 0
		}),
		count("doorbell_alerts_unheard_total", "Alerts that no console sounded in time (alerts.unheard).", s.unheard.Load),
		count("doorbell_pages_lost_total", "Plain pages that lost their connection and were not loaded anew within a minute.", s.pages.lost.Load),
		count("doorbell_escalations_total", "Steps of escalation ladders that were told.", s.escalator.Steps),
		count("doorbell_unattended_alarms_total", "Alarms that an open shop had no console that could ring.", s.watcher.Alarms),
		gauge("doorbell_shops_unattended", "Shops whose alarm stands, on the node that looks after them.", func() float64 { return float64(s.watcher.Standing()) }),
		count("doorbell_reconciler_questions_total", "Questions asked at payment providers about unpaid orders.", func() int64 { n, _ := s.reconciler.Counts(); return n }),
		count("doorbell_reconciler_found_total", "Payments found by query, whose callback had not come.", func() int64 { _, n := s.reconciler.Counts(); return n }),
		count("doorbell_webhooks_sent_total", "Webhook messages that were taken.", func() int64 { n, _ := s.hooks.Counts(); return n }),
		count("doorbell_webhooks_failed_total", "Attempts to send a webhook message that failed.", func() int64 { _, n := s.hooks.Counts(); return n }),
		count("doorbell_pushes_sent_total", "Web pushes that a push service took.", func() int64 { n, _ := s.push.Counts(); return n }),
		count("doorbell_pushes_dropped_total", "Alerts that did not fit in the queue of pushes.", func() int64 { _, n := s.push.Counts(); return n }),
		count("doorbell_log_lines_dropped_total", "Log lines that found no room: nobody read standard error for a while.", func() int64 { return logqueue.Dropped(s.log) }),
		gauge("doorbell_webhooks_waiting", "Webhook messages that wait to be taken.", backlog(func(n, _ int64) int64 { return n })),
		gauge("doorbell_webhooks_given_up", "Webhook messages that were given up within the last week.", backlog(func(_, n int64) int64 { return n })),
	}...)
}

// hubCollectors returns the figures of the streams.
func (s *Server) hubCollectors() []prometheus.Collector {
	all := []prometheus.Collector{
		gauge("doorbell_consoles_behind", "Connected consoles that have alerts yet to get.", func() float64 { n, _ := s.hub.Behind(); return float64(n) }),
		gauge("doorbell_console_lag_alerts", "Alerts that the console furthest behind has yet to get.", func() float64 { _, most := s.hub.Behind(); return float64(most) }),
	}
	for reason := range s.hub.Resets() {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "doorbell_resets_total", Help: "Resets sent to consoles whose cursor could not be honoured, by reason.",
			ConstLabels: prometheus.Labels{"reason": string(reason)},
		}, func() float64 { return float64(s.hub.Resets()[reason]) }))
	}
	return all
}

// busCollectors returns the bus's figures; none where there is no bus.
func (s *Server) busCollectors() []prometheus.Collector {
	if s.bus.Alone() {
		return nil
	}
	count := func(name, help string, pick func(bus.Figures) int64) prometheus.Collector {
		return counter(name, help, func() float64 { return float64(pick(s.bus.Figures())) })
	}
	return []prometheus.Collector{
		gauge("doorbell_bus_connected", "Whether the bus is connected (1) or not (0): other nodes' alerts come up to 2 s late then.", func() float64 {
			if s.bus.Err() != nil {
				return 0
			}
			return 1
		}),
		count("doorbell_bus_sent_total", "Alerts that other nodes were told of.", func(f bus.Figures) int64 { return f.Sent }),
		count("doorbell_bus_dropped_total", "Alerts that they were not told of, for want of room or of a connection; they read them from the log.", func(f bus.Figures) int64 { return f.Dropped }),
		count("doorbell_bus_received_total", "Alerts that other nodes told of.", func(f bus.Figures) int64 { return f.Received }),
		count("doorbell_bus_lost_total", "Messages of other nodes that came and found no room, as far as it is known.", func(f bus.Figures) int64 { return f.Lost }),
		count("doorbell_bus_refused_total", "Messages that are not of this installation.", func(f bus.Figures) int64 { return f.Refused }),
		count("doorbell_bus_connects_total", "Connections made to the bus.", func(f bus.Figures) int64 { return f.Connects }),
	}
}
