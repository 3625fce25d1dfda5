package cli

import "testing"

func TestCalledAs(t *testing.T) {
	hash := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for arg0, want := range map[string]string{
		"doorbell":                           "doorbell",
		"./doorbell":                         "./doorbell",
		"/usr/local/bin/doorbell":            "/usr/local/bin/doorbell",
		"/opt/my bell/doorbell":              "'/opt/my bell/doorbell'",
		"":                                   "doorbell",
		"/tmp/go-build123/b001/exe/doorbell": "go run .",
		"/home/cook/.cache/go-build/0a/" + hash + "-d/doorbell": "go run .",
		"/cache/0a/" + hash + "-d/doorbell":                     "go run .",
		"/home/go-builder/bin/doorbell":                         "/home/go-builder/bin/doorbell",
	} {
		if got := calledAs(arg0); got != want {
			t.Errorf("called as %q: %s, want %s", arg0, got, want)
		}
	}
	if got, want := hintsFor("./doorbell", "/etc/my bell.yaml").line("link"), "./doorbell link --config '/etc/my bell.yaml'"; got != want {
		t.Errorf("with settings of its own: %s, want %s", got, want)
	}
}
