package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"github.com/portti-id/portti/internal/config"
)

// TLS is how the way to the mail server is protected.
type TLS string

const (
	StartTLS TLS = "starttls" // the default, port 587: plain at first, and nothing is sent before it is encrypted
	Implicit TLS = "implicit" // port 465: encrypted from the first byte (RFC 8314)
	NoTLS    TLS = "none"     // a server on this machine only
)

// SMTP delivers through a mail server, one connection a letter.
type SMTP struct {
	Host     string            // of the mail server
	Port     int               // 587, 465 or 25 by TLS
	TLS      TLS               // StartTLS
	CAs      *x509.CertPool    // who may vouch for the server; nil: whom this machine trusts
	Username string            // "" sends without signing in
	Password config.SecretFile // read at every delivery, so that it may be changed
	From     string            // "Portti <no-reply@id.example.fi>" or an address alone
	Hello    string            // how we greet the server; the domain of From
	Timeout  time.Duration     // of connecting, and again of sending; 30 s

	from *netmail.Address
}

// Check fills in the defaults and says what is wrong with the settings. It must be
// called once before Deliver. Problems are named by setting: "smtp.port".
func (s *SMTP) Check(p *config.Problems) {
	s.TLS = cmp.Or(s.TLS, StartTLS)
	s.Port = cmp.Or(s.Port, map[TLS]int{StartTLS: 587, Implicit: 465, NoTLS: 25}[s.TLS])
	s.Timeout = cmp.Or(s.Timeout, 30*time.Second)
	p.Need("smtp.host", s.Host != "", "the name of the mail server")
	if strings.ContainsAny(s.Host, "/ :") && net.ParseIP(s.Host) == nil {
		p.Add("smtp.host", "%q is not a host name; the port is a setting of its own", s.Host)
	}
	if s.Port < 1 || s.Port > 65535 {
		p.Add("smtp.port", "it must be between 1 and 65535")
	}
	switch s.TLS {
	case StartTLS, Implicit:
	case NoTLS:
		if !config.Local(s.Host) {
			p.Add("smtp.tls", "none is for a mail server on this machine only; use starttls or implicit, since letters hold passwords")
		}
	default:
		p.Add("smtp.tls", "it must be starttls, implicit or none")
	}
	if (s.Username == "") == s.Password.Given() {
		p.Add("smtp.username", "the user name and the password file go together: give both or neither")
	}
	from, err := netmail.ParseAddress(s.From)
	if err != nil || !plain(s.From) {
		p.Add("smtp.from", "%q is not an address; write one such as Portti <no-reply@id.example.fi>", s.From)
		return
	}
	if !ascii(from.Address) {
		p.Add("smtp.from", "%q has letters outside ASCII, which not every mail server takes", from.Address)
	}
	s.from = from
	s.Hello = cmp.Or(s.Hello, from.Address[strings.LastIndexByte(from.Address, '@')+1:])
	if !plain(s.Hello) || strings.ContainsAny(s.Hello, " \t<>@") {
		p.Add("smtp.hello", "%q is not a host name", s.Hello)
	}
}

func plain(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) }

// Deliver sends one message. An answer in the 500s to the recipient or to the
// letter itself wraps ErrRefused; one to the greeting, the sign-in or the sender is
// a matter of settings and worth another attempt when they have been mended. An
// address outside ASCII is refused, too, where the server takes none (RFC 6531 §3.2):
// sent all the same, it could end up anywhere. Errors tell the step and the codes,
// but not the server's words about the letter.
func (s *SMTP) Deliver(ctx context.Context, m Message) error {
	letter, err := s.letter(m)
	if err != nil {
		return err
	}
	// The library closes a connection neither when its context ends nor when the
	// greeting fails.
	var line connection
	defer line.close()
	defer context.AfterFunc(ctx, line.close)()
	to := letter.GetTo()[0].Address
	client, err := s.client(&line, ascii(to))
	if err != nil {
		return fmt.Errorf("mail server: %w", err)
	}
	server, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return outcome(ctx, err)
	}
	if international, _ := server.Extension("SMTPUTF8"); !international && !ascii(to) {
		_ = client.CloseWithSMTPClient(server) // a courtesy: nothing was sent
		return fmt.Errorf("mail server: it takes no address with letters outside ASCII (SMTPUTF8): %w", ErrRefused)
	}
	err = client.SendWithSMTPClient(server, letter)
	if letter.IsDelivered() {
		_ = client.CloseWithSMTPClient(server) // whatever goes wrong at the goodbye, the server has it
		return nil
	}
	return outcome(ctx, err)
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// letter puts the message in its form for the wire. A domain outside ASCII is written
// as every server understands it (RFC 5891 §4.4), so that only what stands before it
// can ask for SMTPUTF8.
func (s *SMTP) letter(m Message) (*gomail.Msg, error) {
	to, err := netmail.ParseAddress(m.To)
	if err != nil || to.Name != "" || to.Address != m.To || !plain(m.To) {
		return nil, fmt.Errorf("the recipient is not an address: %w", ErrRefused)
	}
	if at := strings.LastIndexByte(to.Address, '@') + 1; !ascii(to.Address[at:]) {
		domain, err := idna.Lookup.ToASCII(to.Address[at:])
		if err != nil {
			return nil, fmt.Errorf("the recipient's domain is not one: %w", ErrRefused)
		}
		to.Address = to.Address[:at] + domain
	}
	if !plain(m.Subject) || m.Subject == "" || m.ID == "" || !plain(m.ID) || strings.ContainsAny(m.ID, " <>@") || !plain(m.Language) {
		return nil, fmt.Errorf("the headers are not plain text: %w", ErrRefused)
	}
	letter := gomail.NewMsg(gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingQP), gomail.WithNoDefaultUserAgent())
	letter.FromMailAddress(s.from)
	letter.ToMailAddress(to)
	letter.Subject(m.Subject)
	letter.SetDate()
	letter.SetMessageIDWithValue(m.ID + "@" + s.from.Address[strings.LastIndexByte(s.from.Address, '@')+1:])
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office replies, please
	if m.Language != "" {
		letter.SetGenHeader("Content-Language", m.Language)
	}
	letter.SetBodyString(gomail.TypeTextPlain, m.Body)
	return letter, nil
}

// client asks for SMTPUTF8 only where it is needed: a letter that was sent with it may
// go no further than to servers that have it too.
func (s *SMTP) client(line *connection, ascii bool) (*gomail.Client, error) {
	encryption := &tls.Config{ServerName: s.Host, RootCAs: s.CAs, MinVersion: tls.VersionTLS12}
	options := []gomail.Option{gomail.WithPort(s.Port), gomail.WithTimeout(s.Timeout), gomail.WithHELO(s.Hello), gomail.WithTLSConfig(encryption)}
	switch s.TLS {
	case Implicit:
		options = append(options, gomail.WithSSL(), gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			return line.open((&tls.Dialer{Config: encryption}).DialContext(ctx, network, address))
		}))
	case NoTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithDialContextFunc(line.dial))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithDialContextFunc(line.dial))
	}
	if ascii {
		options = append(options, gomail.WithoutSMTPUTF8())
	}
	if s.Username != "" {
		password, err := s.Password.Read()
		if err != nil {
			return nil, err
		}
		options = append(options, gomail.WithUsername(s.Username), gomail.WithPassword(password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	return gomail.NewClient(s.Host, options...)
}

// connection is the one that a delivery uses.
type connection struct {
	mu     sync.Mutex
	conn   net.Conn
	closed bool
}

func (c *connection) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.open((&net.Dialer{}).DialContext(ctx, network, address))
}

func (c *connection) open(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	c.conn = conn
	return conn, nil
}

func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.conn != nil {
		_ = c.conn.Close() // closing twice does no harm
	}
}

// outcome words a failure.
func outcome(ctx context.Context, err error) error {
	if err == nil {
		return errors.New("mail server: it did not say that it has the letter")
	}
	if ctx.Err() != nil {
		return fmt.Errorf("mail server: %w", ctx.Err())
	}
	said, ok := errors.AsType[*gomail.SendError](err)
	if !ok {
		return fmt.Errorf("mail server: %w", err) // before anything of the letter was sent
	}
	step := "the letter"
	switch said.Reason {
	case gomail.ErrSMTPMailFrom:
		step = "the sender"
	case gomail.ErrSMTPRcptTo:
		step = "the recipient"
	case gomail.ErrConnCheck:
		step = "the greeting"
	}
	code := said.ErrorCode()
	if code == 0 {
		return fmt.Errorf("mail server: the connection broke at %s", step)
	}
	answer := fmt.Errorf("mail server: it answered %d %s to %s", code, said.EnhancedStatusCode(), step)
	if code >= 500 && code != 530 && code != 535 && said.Reason != gomail.ErrSMTPMailFrom {
		return fmt.Errorf("%w: %w", answer, ErrRefused)
	}
	return answer
}
