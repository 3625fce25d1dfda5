package e2e

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"doorbell/internal/testrun"
)

// TestAloneInItsImage runs the program as deploy/Dockerfile leaves it: nothing else
// in its root, not even a shell or time zones, and a user without a name.
func TestAloneInItsImage(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		testrun.Skip(t, "needs root, to change the root folder")
	}
	const user, home = 65532, "/var/lib/doorbell"
	recipe, err := os.ReadFile("../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"FROM scratch", "USER 65532:65532", "WORKDIR " + home, `ENTRYPOINT ["/usr/local/bin/doorbell"]`, "CGO_ENABLED=0 go build", `org.opencontainers.image.version="$VERSION"`, `org.opencontainers.image.revision="$COMMIT"`} {
		if !strings.Contains(string(recipe), line) {
			t.Errorf("deploy/Dockerfile has no %q: this test runs something else", line)
		}
	}
	bin, err := plainBinary() // built without C, as there
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, dir := range []string{"/usr/local/bin", home} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "/usr/local/bin/doorbell"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(root, home), user, user); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	var out bytes.Buffer
	cmd := exec.Command("/usr/local/bin/doorbell")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}}
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, &out, &out
	cmd.Env = []string{"DOORBELL_SERVER_ADDR=" + addr, "DOORBELL_TIME_ZONE=Asia/Shanghai"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := func() bool {
		res, err := http.Get("http://" + addr + "/readyz")
		return err == nil && statusOf(res) == http.StatusOK
	}
	eventually(t, "it is ready", ready)
	_ = cmd.Process.Signal(syscall.SIGTERM) // Wait tells how it ends
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, out.String())
	}
	if kept, err := filepath.Glob(filepath.Join(root, home, "data", "*.db")); err != nil || len(kept) != 1 {
		t.Errorf("databases in its folder: %v, %v; want one", kept, err)
	}
}
