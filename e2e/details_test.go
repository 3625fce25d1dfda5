package e2e

import "testing"

// TestSimulatedDishes: the simulator's dishes are in the list that consoles read,
// for the order and for its reminder.
func TestSimulatedDishes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.run("simulate", "--pause", "10ms")
	status, answer := s.call("GET", "api/v1/alerts?shop=1&state=open", s.token("console", "--shops", "1"), nil)
	alerts, _ := answer["alerts"].([]any)
	if status != 200 || len(alerts) != 2 {
		t.Fatalf("open alerts: %d %v, want two", status, answer)
	}
	for _, a := range alerts {
		detail, _ := a.(map[string]any)["detail"].(map[string]any)
		if lines, _ := detail["lines"].([]any); len(lines) == 0 || detail["table"] == nil && detail["pickup"] == nil {
			t.Errorf("alert %v: want dishes, and a table or a pickup", a)
		}
	}
}
