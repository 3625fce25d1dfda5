package doorbell

import "testing"

// TestBodyHashOfBefore: a retry that comes after the upgrade, of a body that
// was kept before there were details, is the same body.
func TestBodyHashOfBefore(t *testing.T) {
	const before = "112343b77281da384aa6f7021b6052672d065598b076416f63181ff6a7f84e10" // of {"type":1,"shopId":1,"orderId":0,"number":"X-9","content":"c"}
	r := Raise{Type: NewOrder, Shop: 1, Number: "X-9", Content: "c"}
	if got := bodyHash(r); got != before {
		t.Errorf("%s, want %s", got, before)
	}
	r.Lines = []string{}
	if got := bodyHash(r); got != before {
		t.Errorf("with an empty list %s, want %s", got, before)
	}
	for _, d := range []Detail{{Lines: []string{"a"}}, {Note: "a"}, {Table: "a"}, {Pickup: "a"}} {
		r.Detail = d
		if bodyHash(r) == before {
			t.Errorf("%+v is not in the hash", d)
		}
	}
}
