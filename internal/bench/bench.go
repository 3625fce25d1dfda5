//go:build linux

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Target is a server under load.
type Target struct {
	URL string // http://HOST:PORT/BASE/
	PID int    // its process on this machine; 0: CPU and memory are not measured
	// Console is a token for streams of all shops, Service one for alerts and orders
	// of all. The floor needs neither.
	Console, Service string
	// Payments signs a callback for each order that it names; nil if the server
	// accepts no simulated payments.
	Payments func(n int) ([]Payment, error)
	// Restart stops the server and starts it again as a new process with the same
	// database; nil where that is impossible.
	Restart func(ctx context.Context) (pid int, err error)
	// Verbatim marks another kind of server, which keeps no order: what is posted to
	// api/v1/alerts?shop=N is sent unchanged to that shop's consoles.
	Verbatim bool
}

// Payment is an order to be created and the callback that pays it.
type Payment struct {
	Number string
	Fen    int64
	Path   string // below the target's URL
	Header map[string]string
	Body   []byte
}

// Start starts a target; stop ends it. Each measurement has a target of its own.
type Start func(ctx context.Context) (t Target, stop func() error, err error)

// Options are the arguments of Run. A zero field means the scenario's default.
type Options struct {
	Server Start
	Floor  Start
	// Peer is another server to measure in the same scenarios, where they suit it;
	// its figures begin with PeerName. May be nil.
	Peer     Start
	PeerName string
	// BareWriter runs n payments by that many callers on the database's writer
	// alone: the callbacks' baseline.
	BareWriter func(ctx context.Context, n, callers int) (time.Duration, error)

	Scenarios  []string
	Transports []string // ws, sse
	Consoles   int
	Shops      int
	Rate       int // alerts a second, all shops together
	Publishers int // at most 64, where they send as fast as they are answered
	Duration   time.Duration
	Runs       int

	JSON io.Writer // a Figure on each line, as they come; may be nil
	Log  func(format string, args ...any)
}

// Figure is one measured value of one run.
type Figure struct {
	Run       int     `json:"run"`
	Scenario  string  `json:"scenario"`
	Transport string  `json:"transport"`
	Consoles  int     `json:"consoles"`
	Shops     int     `json:"shops"`
	Name      string  `json:"figure"`
	Unit      string  `json:"unit"`
	Value     float64 `json:"value"`
	Floor     float64 `json:"floor,omitzero"` // the same on the floor, in the same run
	Ratio     float64 `json:"ratio,omitzero"` // to the floor, or to the baseline that Name names
}

// ErrFaults says that alerts were lost, doubled or out of order.
var ErrFaults = errors.New("alerts were lost, doubled or out of order")

// Scenarios returns the valid names for Options.Scenarios.
func Scenarios() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// Describe returns a line about each scenario.
func Describe() string {
	var b strings.Builder
	for _, s := range scenarios {
		fmt.Fprintf(&b, "  %-10s %s\n", s.name, s.help)
	}
	return b.String()
}

// Run measures each scenario and writes the table to out. It returns ErrFaults
// after the table if a console did not get exactly what was sent.
func Run(ctx context.Context, o Options, out io.Writer) error {
	var all []Figure
	faults := 0
	for run := 1; run <= max(o.Runs, 1); run++ {
		for _, s := range scenarios {
			if !slices.Contains(o.Scenarios, s.name) {
				continue
			}
			for _, transport := range s.over(o.Transports) {
				r := &round{Options: o, scenario: s, transport: transport, number: run}
				if err := r.measure(ctx); err != nil {
					return fmt.Errorf("%s over %s: %w", s.name, transport, err)
				}
				all = append(all, r.figures...)
				faults += r.faults
			}
		}
	}
	if err := table(out, all); err != nil {
		return err
	}
	if faults > 0 {
		return fmt.Errorf("%d: %w", faults, ErrFaults)
	}
	return nil
}

// round is one run of one scenario over one transport.
type round struct {
	Options
	scenario  scenario
	transport string
	number    int

	figures []Figure
	faults  int
}

// measure runs the scenario on the server and, where possible, on the floor and
// the peer.
func (r *round) measure(ctx context.Context) error {
	floor := map[string]float64{}
	if r.scenario.floor && r.Floor != nil {
		on, err := r.on(ctx, r.Floor)
		if err != nil {
			return fmt.Errorf("the floor: %w", err)
		}
		for _, f := range on.figures {
			floor[f.Name] = f.Value
		}
	}
	on, err := r.on(ctx, r.Server)
	if err != nil {
		return err
	}
	for _, f := range on.figures {
		f.Floor = floor[f.Name]
		if f.Floor > 0 {
			f.Ratio = f.Value / f.Floor
		}
		r.figures = append(r.figures, f)
		if err := r.emit(f); err != nil {
			return err
		}
	}
	r.faults = on.faults
	return r.measurePeer(ctx, floor)
}

func (r *round) measurePeer(ctx context.Context, floor map[string]float64) error {
	if r.Peer == nil || !r.scenario.peer {
		return nil
	}
	on, err := r.on(ctx, r.Peer)
	if err != nil {
		return fmt.Errorf("%s: %w", r.PeerName, err)
	}
	for _, f := range on.figures {
		if f.Floor = floor[f.Name]; f.Floor > 0 {
			f.Ratio = f.Value / f.Floor
		}
		f.Name = r.PeerName + "_" + f.Name
		r.figures = append(r.figures, f)
		if err := r.emit(f); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) on(ctx context.Context, start Start) (on *site, err error) {
	t, stop, err := start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	on = &site{round: r, target: t}
	defer on.close()
	if err := r.scenario.run(ctx, on); err != nil {
		return nil, err
	}
	return on, nil
}

func (r *round) emit(f Figure) error {
	line, err := json.Marshal(f)
	if err != nil {
		return err
	}
	r.Log("run %d %s %s: %s %.4g %s%s", f.Run, f.Scenario, f.Transport, f.Name, f.Value, f.Unit, ratioText(f))
	if r.JSON == nil {
		return nil
	}
	_, err = r.JSON.Write(append(line, '\n'))
	return err
}

func ratioText(f Figure) string {
	switch {
	case f.Floor > 0:
		return fmt.Sprintf(" (floor %.4g, ratio %.2f)", f.Floor, f.Ratio)
	case f.Ratio > 0:
		return fmt.Sprintf(" (ratio %.2f)", f.Ratio)
	default:
		return ""
	}
}

// table writes each figure's median with its lowest and highest run.
func table(out io.Writer, all []Figure) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight) // its errors appear at Flush
	_, _ = fmt.Fprintln(w, "scenario\ttransport\tconsoles\tshops\tfigure\tmedian\tleast\tmost\tunit\tfloor\tratio\tleast\tmost\t")
	type key struct {
		scenario, transport, name, unit string
		consoles, shops                 int
	}
	var order []key
	values, floors, ratios := map[key][]float64{}, map[key][]float64{}, map[key][]float64{}
	for _, f := range all {
		k := key{f.Scenario, f.Transport, f.Name, f.Unit, f.Consoles, f.Shops}
		if values[k] == nil {
			order = append(order, k)
		}
		values[k] = append(values[k], f.Value)
		floors[k] = append(floors[k], f.Floor)
		ratios[k] = append(ratios[k], f.Ratio)
	}
	for _, k := range order {
		v, ratio := spreadOf(values[k]), spreadOf(ratios[k])
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%.4g\t%.4g\t%.4g\t%s\t%s\t%s\t%s\t%s\t\n", k.scenario, k.transport, k.consoles, k.shops, k.name,
			v.median, v.least, v.most, k.unit, orDash(spreadOf(floors[k]).median), orDash(ratio.median), orDash(ratio.least), orDash(ratio.most))
	}
	return w.Flush()
}

func orDash(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g", v)
}

// spread is the median of some runs, with the lowest and the highest.
type spread struct{ least, median, most float64 }

func spreadOf(values []float64) spread {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return spread{s[0], (s[(n-1)/2] + s[n/2]) / 2, s[n-1]}
}
