package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"doorbell/internal/bench"
)

// own starts a server of this program in a folder of its own.
func (b *benchRun) own(ctx context.Context) (t bench.Target, stop func() error, err error) {
	dir, err := os.MkdirTemp(b.dir, "doorbell-bench-")
	if err != nil {
		return t, nil, err
	}
	cfg, err := settings(os.DevNull)
	if err != nil {
		return t, nil, err
	}
	cfg.Database.URL = "sqlite://" + filepath.Join(dir, "doorbell.db")
	p, err := b.child(ctx, dir, "DOORBELL_DATABASE_URL="+cfg.Database.URL)
	if err != nil {
		return t, nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop = func() error { return errors.Join(p.end(), os.RemoveAll(dir)) }
	if t, err = target(ctx, cfg.Config, p.url, p.cmd.Process.Pid); err != nil {
		return t, nil, errors.Join(err, stop())
	}
	t.Restart = p.restart
	return t, stop, nil
}

func (b *benchRun) floor(ctx context.Context) (t bench.Target, stop func() error, err error) {
	p, err := b.child(ctx, "", "")
	if err != nil {
		return t, nil, err
	}
	return bench.Target{URL: p.url, PID: p.cmd.Process.Pid}, p.end, nil
}

// nchanConfig is nginx with nothing but Nchan, in one process, as fast as it
// goes: in memory, a log of the last 64 messages.
const nchanConfig = `load_module %[1]s;
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000;
pid %[2]s/nginx.pid; error_log %[2]s/log;
events { worker_connections 18000; }
http {
	access_log off; client_body_temp_path %[2]s/body; client_body_buffer_size 16k; keepalive_requests 1000000;
	nchan_message_buffer_length 64; nchan_message_timeout 5m; nchan_shared_memory_size 64m;
	server {
		listen %[3]s backlog=4096;
		location = /api/v1/alerts { nchan_publisher; nchan_channel_id $arg_shop; }
		location = /ws { nchan_subscriber websocket; nchan_channel_id $arg_shops; nchan_subscriber_first_message newest; }
		location = /events { nchan_subscriber eventsource; nchan_channel_id $arg_shops; nchan_subscriber_first_message newest; }
	}
}
`

// peer starts nginx with Nchan.
func (b *benchRun) peer(ctx context.Context) (t bench.Target, stop func() error, err error) {
	dir, err := os.MkdirTemp(b.dir, "doorbell-bench-")
	if err != nil {
		return t, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	addr, err := freeAddr(ctx)
	if err != nil {
		return t, nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nchanConfig, b.nchan, dir, addr), 0o600); err != nil {
		return t, nil, err
	}
	program := "nginx"
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/nginx" // not everybody's path has it
	}
	p := &process{url: "http://" + addr + "/"}
	p.cmd = exec.CommandContext(ctx, program, "-c", file, "-p", dir, "-e", filepath.Join(dir, "log")) //nolint:gosec // what the user asked for
	if err := p.start(ctx); err != nil {
		text, _ := os.ReadFile(filepath.Join(dir, "log")) // told where there is one
		return t, nil, fmt.Errorf("nginx: %w %s", err, text)
	}
	return bench.Target{URL: p.url, PID: p.cmd.Process.Pid, Verbatim: true}, func() error { return errors.Join(p.end(), os.RemoveAll(dir)) }, nil
}

// process is a server that this command started.
type process struct {
	cmd *exec.Cmd
	url string
	log *os.File
}

// child starts a server, or the floor where setting is empty.
func (b *benchRun) child(ctx context.Context, dir, setting string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{url: "http://" + addr + "/"}
	if setting == "" {
		p.cmd = exec.CommandContext(ctx, program, "bench", "floor", "--addr", addr) //nolint:gosec // ourselves
	} else {
		p.cmd = exec.CommandContext(ctx, program) //nolint:gosec // ourselves
		p.cmd.Dir = dir
		p.cmd.Env = append(os.Environ(), setting, "DOORBELL_SERVER_ADDR="+addr, "DOORBELL_LIMITS_STREAMS_PER_TOKEN=0", "DOORBELL_LIMITS_STREAMS_PER_SHOP=0")
		if p.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
			return nil, err
		}
		p.cmd.Stderr = p.log
	}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) start(ctx context.Context) error {
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // none is left behind by a bench that was killed
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	if err := p.cmd.Start(); err != nil {
		return err
	}
	if err := p.ready(ctx); err != nil {
		return errors.Join(err, p.end())
	}
	return nil
}

// restart stops the process and starts it again as it was.
func (p *process) restart(ctx context.Context) (pid int, err error) {
	old := p.cmd
	if err := old.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	if err := old.Wait(); err != nil {
		return 0, err
	}
	p.cmd = exec.CommandContext(ctx, old.Path, old.Args[1:]...) //nolint:gosec // ourselves
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = old.Dir, old.Env, old.Stderr
	if err := p.start(ctx); err != nil {
		return 0, err
	}
	return p.cmd.Process.Pid, nil
}

func freeAddr(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// readyWait bounds a start.
const readyWait = 20 * time.Second

func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"readyz", nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close() // the status is enough
			if res.StatusCode == http.StatusOK || p.log == nil {
				return nil
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the server that was started does not answer at %s: %w", p.url, ctx.Err())
		}
	}
}

func (p *process) end() error {
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	if err != nil {
		return err
	}
	err = p.cmd.Wait()
	if p.log == nil {
		return nil // the floor does not stop well: it just ends
	}
	return errors.Join(err, p.log.Close())
}
