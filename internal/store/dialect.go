package store

import (
	"embed"
	"io/fs"

	"github.com/pressly/goose/v3"

	"doorbell/internal/doorbell"
)

//go:embed migrations
var migrations embed.FS

// dialect is the whole seam between the databases. Statements are written
// with ?; what can't be said in SQL that all of them read is a function here.
type dialect struct {
	name  string
	goose goose.Dialect
	// numbered: placeholders are $1, $2 …
	numbered bool
	// bumpSeq adds one to the shop's head, making it where there is none, and
	// returns the new seq; it holds the head's lock until the end.
	bumpSeq func(t *txn, shop doorbell.ShopID) (doorbell.Seq, error)
	// lockHead holds the head's lock until the end.
	lockHead func(t *txn, shop doorbell.ShopID) error
	// undoable: only the statement failed, and a rollback to the savepoint
	// makes the transaction whole again.
	undoable func(error) bool
}

func (d *dialect) migrations() (fs.FS, error) { return fs.Sub(migrations, "migrations/"+d.name) }

// rebind rewrites a statement's placeholders.
func (d *dialect) rebind(query string) string {
	if !d.numbered {
		return query
	}
	b := make([]byte, 0, len(query)+16)
	n := 0
	for i := range len(query) {
		if query[i] != '?' {
			b = append(b, query[i])
			continue
		}
		n++
		b = append(b, '$')
		if n >= 10 {
			b = append(b, byte('0'+n/10))
		}
		b = append(b, byte('0'+n%10))
	}
	return string(b)
}
