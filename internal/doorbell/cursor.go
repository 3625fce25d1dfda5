package doorbell

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Cursor is how far a console has got in each shop that it follows. Its text
// is EPOCH.SHOP:SEQ,SHOP:SEQ with the shops rising: k3f9.1:42,7:9. The zero
// Cursor follows nothing.
type Cursor struct {
	Epoch string
	Seqs  map[ShopID]Seq
}

// MaxCursor bounds a cursor's text: 64 shops of the longest numbers fit.
const MaxCursor = 4096

// ErrBadCursor is in the chain of every error of ParseCursor.
var ErrBadCursor = errors.New("not a cursor")

// ParseCursor reads a cursor's text.
func ParseCursor(s string) (Cursor, error) {
	if len(s) > MaxCursor {
		return Cursor{}, fmt.Errorf("%w: longer than %d bytes", ErrBadCursor, MaxCursor)
	}
	epoch, list, ok := strings.Cut(s, ".")
	if !ok || !validEpoch(epoch) {
		return Cursor{}, fmt.Errorf("%w: want EPOCH.SHOP:SEQ,SHOP:SEQ", ErrBadCursor)
	}
	c := Cursor{Epoch: epoch, Seqs: map[ShopID]Seq{}}
	if list == "" {
		return c, nil
	}
	for entry := range strings.SplitSeq(list, ",") {
		shop, seq, ok := strings.Cut(entry, ":")
		id, err1 := decimal(shop)
		n, err2 := decimal(seq)
		if !ok || err1 != nil || err2 != nil || id < 1 {
			return Cursor{}, fmt.Errorf("%w: want SHOP:SEQ in whole numbers", ErrBadCursor)
		}
		if _, twice := c.Seqs[ShopID(id)]; twice {
			return Cursor{}, fmt.Errorf("%w: shop %d stands twice", ErrBadCursor, id)
		}
		c.Seqs[ShopID(id)] = Seq(n)
	}
	return c, nil
}

// decimal reads digits only: ParseInt alone would take +1 and -0.
func decimal(s string) (int64, error) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, ErrBadCursor
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > MaxID {
		return 0, ErrBadCursor
	}
	return n, nil
}

func validEpoch(s string) bool {
	if len(s) < 1 || len(s) > 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// String returns the cursor's text; ParseCursor reads it back.
func (c Cursor) String() string {
	b := append(make([]byte, 0, 16+24*len(c.Seqs)), c.Epoch...)
	b = append(b, '.')
	for i, shop := range slices.Sorted(maps.Keys(c.Seqs)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(shop), 10)
		b = append(b, ':')
		b = strconv.AppendInt(b, int64(c.Seqs[shop]), 10)
	}
	return string(b)
}
