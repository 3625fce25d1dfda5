package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// email is a mailbox: smtp://USER:PASSWORD@HOST:587/?from=A&to=B,C with STARTTLS,
// smtps://…:465 with TLS from the first byte. tls=none is for a server on this
// machine.
type email struct {
	host    string
	options []gomail.Option
	from    string
	to      []string
	tls     bool // from the first byte
}

func newMail(u *url.URL, query url.Values, user, password string) (service, error) {
	e := email{host: u.Hostname(), from: take(query, "from", user)}
	for address := range strings.SplitSeq(take(query, "to", ""), ",") {
		if address = strings.TrimSpace(address); address != "" {
			e.to = append(e.to, address)
		}
	}
	if e.host == "" || e.from == "" || len(e.to) == 0 {
		return nil, errors.New("lacks a part: want smtp://USER:PASSWORD@HOST:587/?from=ADDRESS&to=ADDRESS,ADDRESS")
	}
	for _, address := range append([]string{e.from}, e.to...) {
		if _, err := mail.ParseAddress(address); err != nil {
			return nil, errors.New("from and to take e-mail addresses")
		}
	}
	port, policy := 587, gomail.TLSMandatory
	switch how := take(query, "tls", ""); {
	case u.Scheme == "smtps" && how == "":
		port = 465
		e.tls = true
		policy = gomail.NoTLS // it is there from the first byte
	case how == "none":
		policy = gomail.NoTLS
	case how != "":
		return nil, errors.New("tls can be none, or left out")
	}
	if text := u.Port(); text != "" {
		var err error
		if port, err = strconv.Atoi(text); err != nil {
			return nil, errors.New("the port is no number")
		}
	}
	e.options = append(e.options, gomail.WithPort(port), gomail.WithTLSPolicy(policy), gomail.WithTimeout(10*time.Second))
	if user != "" && password != "" {
		e.options = append(e.options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(user), gomail.WithPassword(password))
	}
	return e, nil
}

func (e email) send(ctx context.Context, m Message) error {
	msg := gomail.NewMsg()
	err := errors.Join(msg.From(e.from), msg.To(e.to...))
	if err != nil {
		return errors.New("from and to take e-mail addresses")
	}
	msg.Subject(m.Title)
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.SetImportance(gomail.ImportanceUrgent)
	// go-mail leaves the connection open when the server refuses a login.
	var opened net.Conn
	defer func() {
		if opened != nil {
			_ = opened.Close() // closed already, mostly
		}
	}()
	dial := gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		if e.tls {
			dialer := tls.Dialer{Config: &tls.Config{ServerName: e.host, MinVersion: tls.VersionTLS12}}
			opened, err = dialer.DialContext(ctx, network, address)
		} else {
			opened, err = new(net.Dialer).DialContext(ctx, network, address)
		}
		return opened, err
	})
	client, err := gomail.NewClient(e.host, append(slices.Clone(e.options), dial)...)
	if err != nil {
		return fmt.Errorf("the mail server can't be called: %w", err)
	}
	return client.DialAndSendWithContext(ctx, msg)
}

// request and refused are those of services that are HTTP calls.
func (email) request(context.Context, Message, time.Time) (*http.Request, error) {
	return nil, errors.New("no HTTP")
}
func (email) refused([]byte) string { return "" }
