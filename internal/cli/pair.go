package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"rsc.io/qr"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/server"
)

// pair runs the command: a link and a QR code that sign a tablet in for good.
func pair(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("pair", out)
	at := remoteFlags(fs)
	shop := fs.Int64("shop", 1, "the shop")
	name := fs.String("name", "tablet", "what the device is called in the list of devices")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *shop < 1 || *shop > doorbell.MaxID || *name == "" || len(*name) > 100 {
		return usageError{errors.New("pair: --shop from 1, --name of 1 to 100 bytes")}
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	base := *at
	if base == "" {
		if base, err = tabletURL(cfg.Config); err != nil {
			return err
		}
	}
	r, err := dial(ctx, cfg.Config, *at, doorbell.Grant{
		Subject: "pair", Role: doorbell.RoleService, Shops: doorbell.ShopSet{List: []doorbell.ShopID{doorbell.ShopID(*shop)}},
	})
	if err != nil {
		return err
	}
	var answer struct {
		Ticket string `json:"ticket"`
	}
	if err := r.post(ctx, "api/v1/tickets", map[string]any{"sub": *name, "pair": true, "life": "15m"}, &answer); err != nil {
		return err
	}
	// No names: the page asks the server for them, which knows what the ticket opens.
	link := strings.TrimSuffix(base, "/") + "/#pair=" + answer.Ticket
	code, err := qrText(link)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n%s\n\nOnce, within 15 minutes. On the tablet: open it in a browser and press “Sign in on this device”.\n仅一次有效，15 分钟内。用平板的浏览器打开，点击“在此设备登录”。\n", code, link)
	return err
}

// tabletURL returns where another device finds the console.
func tabletURL(cfg config.Config) (string, error) {
	if cfg.Server.PublicURL != "" {
		return server.BaseURL(cfg, ""), nil
	}
	if cfg.Loopback() {
		return "", usageError{fmt.Errorf("no tablet reaches %s: set server.addr to 0.0.0.0:PORT, or server.public_url to the address from outside", cfg.Server.Addr)}
	}
	host, port, err := net.SplitHostPort(cfg.Server.Addr)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = server.LANAddress()
	}
	if host == "" {
		return "", usageError{errors.New("this machine has no address in a private network: set server.public_url, or name the address that a tablet opens with --url")}
	}
	return server.Scheme(cfg) + "://" + net.JoinHostPort(host, port) + cfg.Server.BasePath, nil
}

// qrText draws a QR code with half blocks, two rows of it to a line, dark on
// light whatever the terminal's colours.
func qrText(text string) (string, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", fmt.Errorf("draw the QR code: %w", err)
	}
	const border = 2 // the standard asks for 4; phones read it with 2
	var b strings.Builder
	for y := -border; y < code.Size+border; y += 2 {
		b.WriteString("\x1b[30;47m")
		for x := -border; x < code.Size+border; x++ {
			switch top, bottom := code.Black(x, y), code.Black(x, y+1); {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}
