package adopt

import (
	"context"
	"time"
)

// Step is one look.
func (w *Watch) Step(ctx context.Context) error { return w.look(ctx) }

// Once is one look as Run does it.
func (w *Watch) Once(ctx context.Context) { w.once(ctx) }

// SweepNext has the next look be one that looks at all.
func (w *Watch) SweepNext() { w.swept = time.Time{} }

// Fen is fen.
var Fen = fen
