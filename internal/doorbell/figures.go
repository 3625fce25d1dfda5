package doorbell

import (
	"context"
	"slices"
	"time"
)

// Timing is how long one alert took to be heard and to be taken care of.
type Timing struct {
	Type    Type
	At      time.Time
	Sounded time.Time // zero: no console said so
	Closed  time.Time // zero: it rings still
}

// Spread is a set of waits in seconds: the half that was quicker, and all but
// the slowest twentieth. Nothing to measure is zero and zero.
type Spread struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	N   int     `json:"n"`
}

// Hour is one hour of a day.
type Hour struct {
	Alerts   int    `json:"alerts"`
	Accepted Spread `json:"accepted"`
}

// Figures are how a shop's day went.
type Figures struct {
	Day       string   `json:"day"` // YYYY-MM-DD, in the shop's zone
	Orders    int      `json:"orders"`
	Reminders int      `json:"reminders"`
	Open      int      `json:"open"`
	Unheard   int      `json:"unheard"` // no console sounded
	Sounded   Spread   `json:"sounded"`
	Accepted  Spread   `json:"accepted"`
	Hours     [24]Hour `json:"hours"`
}

// FiguresOf sums a day's alerts up.
func FiguresOf(day string, alerts []Timing, zone *time.Location) Figures {
	f := Figures{Day: day}
	var sounded, accepted []float64
	var byHour [24][]float64
	for _, a := range alerts {
		if a.Type == NewOrder {
			f.Orders++
		} else {
			f.Reminders++
		}
		hour := a.At.In(zone).Hour()
		f.Hours[hour].Alerts++
		if a.Sounded.IsZero() {
			f.Unheard++
		} else {
			sounded = append(sounded, a.Sounded.Sub(a.At).Seconds())
		}
		if a.Closed.IsZero() {
			f.Open++
		} else {
			accepted = append(accepted, a.Closed.Sub(a.At).Seconds())
			byHour[hour] = append(byHour[hour], a.Closed.Sub(a.At).Seconds())
		}
	}
	f.Sounded, f.Accepted = spreadOf(sounded), spreadOf(accepted)
	for hour := range f.Hours {
		f.Hours[hour].Accepted = spreadOf(byHour[hour])
	}
	return f
}

func spreadOf(seconds []float64) Spread {
	if len(seconds) == 0 {
		return Spread{}
	}
	slices.Sort(seconds)
	at := func(percent int) float64 { return max(0, seconds[min(len(seconds)*percent/100, len(seconds)-1)]) }
	return Spread{P50: at(50), P95: at(95), N: len(seconds)}
}

// Figures returns a shop's figures of one day in its zone.
func (s *Service) Figures(ctx context.Context, shop ShopID, day time.Time) (Figures, error) {
	alerts, err := s.store.Timings(ctx, shop, day, day.AddDate(0, 0, 1))
	return FiguresOf(day.Format(time.DateOnly), alerts, day.Location()), err
}
