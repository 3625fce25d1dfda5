package doorbell

import (
	"testing"
	"time"
)

// TestLadder: each rung's steps come at their time, a repeat ends after 60 rounds,
// and of the rounds that were missed the last one stands for all.
func TestLadder(t *testing.T) {
	const minute = time.Minute
	ladder := Ladder{{After: 40 * time.Second}, {After: minute, Repeat: 2 * minute}}
	done := Rounds{}
	told := map[Step]time.Duration{}
	for rung := time.Duration(0); rung < 3*time.Hour; rung += time.Second {
		next, more := ladder.Next(done)
		due := ladder.Due(rung, done)
		if (len(due) > 0) != (more && rung >= next) {
			t.Fatalf("after %v %v is due, and the next step comes after %v (%v)", rung, due, next, more)
		}
		for _, step := range due {
			told[step], done[step.Rung] = rung, step.Round
		}
	}
	if len(told) != 61 {
		t.Errorf("%d steps in three hours, want one and 60 rounds", len(told))
	}
	for step, rung := range told {
		if want := ladder[step.Rung].After + time.Duration(step.Round)*ladder[step.Rung].Repeat; rung != want {
			t.Errorf("%v came after %v, want %v", step, rung, want)
		}
	}
	late := ladder.Due(10*minute, Rounds{1: 0})
	if want := (Step{Rung: 1, Round: 4}); len(late) != 2 || late[1] != want {
		t.Errorf("after 10 minutes without a server %v is due, want the first rung and %v", late, want)
	}
}
