package mail

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"

	"github.com/portti-id/portti/internal/config"
)

// server is a real mail server in this process that answers as a test wants.
type server struct {
	t        *testing.T
	host     string
	port     int
	cas      *x509.CertPool
	username string // "" lets everybody in
	password string
	mail     error           // answer to MAIL FROM
	rcpt     error           // answer to RCPT TO
	data     error           // answer to the letter
	hang     <-chan struct{} // the answer to the letter waits for it
	utf8     bool            // it takes addresses outside ASCII
	mu       sync.Mutex
	got      []delivered
}

type delivered struct {
	from, to string
	raw      []byte
	tls      bool
	utf8     bool // it was asked for
	hello    string
}

type serverSession struct {
	s        *server
	c        *gosmtp.Conn
	from, to string
	utf8     bool
	signedIn bool
}

func (s *server) NewSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	return &serverSession{s: s, c: c}, nil
}

func (x *serverSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (x *serverSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != x.s.username || password != x.s.password {
			return gosmtp.ErrAuthFailed
		}
		x.signedIn = true
		return nil
	}), nil
}

func (x *serverSession) Mail(from string, o *gosmtp.MailOptions) error {
	if x.s.username != "" && !x.signedIn {
		return gosmtp.ErrAuthRequired
	}
	x.from, x.utf8 = from, o.UTF8
	return x.s.mail
}

func (x *serverSession) Rcpt(to string, _ *gosmtp.RcptOptions) error { x.to = to; return x.s.rcpt }

func (x *serverSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if x.s.hang != nil {
		<-x.s.hang
	}
	if x.s.data != nil {
		return x.s.data
	}
	_, encrypted := x.c.TLSConnectionState()
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.got = append(x.s.got, delivered{from: x.from, to: x.to, raw: raw, tls: encrypted, utf8: x.utf8, hello: x.c.Hostname()})
	return nil
}

func (x *serverSession) Reset()        {}
func (x *serverSession) Logout() error { return nil }

func (s *server) letters() []delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]delivered(nil), s.got...)
}

// serve starts a mail server on a free port of this machine.
func serve(t *testing.T, way TLS, s *server) *server {
	t.Helper()
	s.t, s.host = t, "localhost"
	var encryption *tls.Config
	encryption, s.cas = certificate(t)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	smtp := gosmtp.NewServer(s)
	smtp.Domain, smtp.ErrorLog, smtp.EnableSMTPUTF8 = "localhost", log.New(io.Discard, "", 0), s.utf8
	smtp.AllowInsecureAuth = way == NoTLS
	switch way {
	case StartTLS:
		smtp.TLSConfig = encryption
	case Implicit:
		listener = tls.NewListener(listener, encryption)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = smtp.Serve(listener) }()
	t.Cleanup(func() {
		_ = listener.Close() // Close alone overlooks a server that has not come round to listening
		_ = smtp.Close()
		<-done
	})
	return s
}

// certificate is what a server on this machine shows, and who vouches for it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	vouch := x509.NewCertPool()
	vouch.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, vouch
}

func carrier(t *testing.T, s *server, change func(*SMTP)) *SMTP {
	t.Helper()
	c := &SMTP{Host: s.host, Port: s.port, CAs: s.cas, From: "Portti <no-reply@id.example.fi>", Timeout: 5 * time.Second}
	if change != nil {
		change(c)
	}
	if wrong := problems(c); wrong != "" {
		t.Fatal(wrong)
	}
	return c
}

func problems(c *SMTP) string {
	var p config.Problems
	c.Check(&p)
	if err := p.Err("settings"); err != nil {
		return err.Error()
	}
	return ""
}

func secret(t *testing.T, text string) config.SecretFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "smtp.password")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.SecretFile(path)
}

var hello = Message{ID: "LETTER1", To: "aino@example.fi", Subject: "Salasanasi on vaihdettu", Body: "Hei Aino\n\nKaikki hyvin.", Language: "fi"}

func TestDelivery(t *testing.T) {
	for _, way := range []TLS{StartTLS, Implicit, NoTLS} {
		for _, login := range []bool{true, false} {
			s := &server{}
			if login {
				s.username, s.password = "portti", "pässword"
			}
			serve(t, way, s)
			c := carrier(t, s, func(c *SMTP) {
				c.TLS = way
				if login {
					c.Username, c.Password = s.username, secret(t, s.password)
				}
			})
			if err := c.Deliver(t.Context(), hello); err != nil {
				t.Errorf("%s, login %v: %v", way, login, err)
				continue
			}
			got := s.letters()
			if len(got) != 1 || got[0].from != "no-reply@id.example.fi" || got[0].to != hello.To || got[0].tls != (way != NoTLS) || got[0].hello != "id.example.fi" {
				t.Errorf("%s: %+v", way, got)
			}
		}
	}
}

func TestTheLetterIsWhatTheReaderSees(t *testing.T) {
	s := serve(t, StartTLS, &server{})
	c := carrier(t, s, nil)
	for _, m := range []Message{
		{ID: "A1", To: "aino@example.fi", Language: "fi", Subject: "Tilasit uuden salasanan, määräaika 24 h", Body: "Hei Väinö Ääkkönen\n\n.\n.piste rivin alussa\nSalasana: k7wp-3mxd-hy9c-tqa2\nFrom here = on\n" + strings.Repeat("pitkä rivi ", 200)},
		{ID: "A2", To: "asa@example.fi", Language: "sv", Subject: "Ditt lösenord har bytts – kontrollera åäö", Body: "Hej Åsa\n\nÖppna autentiseringsappen.\n"},
	} {
		if err := c.Deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got := s.letters()
		letter, err := netmail.ReadMessage(bytes.NewReader(got[len(got)-1].raw))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(letter.Header.Get("Subject"))
		if err != nil || subject != m.Subject {
			t.Errorf("subject %q, %v", subject, err)
		}
		kind, params, _ := mime.ParseMediaType(letter.Header.Get("Content-Type"))
		if kind != "text/plain" || !strings.EqualFold(params["charset"], "utf-8") || letter.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Errorf("content %q", letter.Header.Get("Content-Type"))
		}
		body, err := io.ReadAll(quotedprintable.NewReader(letter.Body))
		if text := strings.ReplaceAll(string(body), "\r\n", "\n"); err != nil || strings.TrimRight(text, "\n") != strings.TrimRight(m.Body, "\n") {
			t.Errorf("body %q, %v", text, err)
		}
		for name, want := range map[string]string{
			"From": `"Portti" <no-reply@id.example.fi>`, "To": "<" + m.To + ">", "Message-Id": "<" + m.ID + "@id.example.fi>",
			"Auto-Submitted": "auto-generated", "Content-Language": m.Language, "User-Agent": "", "X-Mailer": "",
		} {
			if got := letter.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if _, err := letter.Header.Date(); err != nil {
			t.Error(err)
		}
	}
}

func TestHeadersCannotBeInjected(t *testing.T) {
	s := serve(t, StartTLS, &server{})
	c := carrier(t, s, nil)
	for name, change := range map[string]func(*Message){
		"line in subject":    func(m *Message) { m.Subject = "x\r\nBcc: eve@example.com" },
		"feed in subject":    func(m *Message) { m.Subject = "x\nBcc: eve@example.com" },
		"no subject":         func(m *Message) { m.Subject = "" },
		"line in recipient":  func(m *Message) { m.To = "a@example.fi\r\nRCPT TO:<eve@example.com>" },
		"two recipients":     func(m *Message) { m.To = "a@example.fi, eve@example.com" },
		"named recipient":    func(m *Message) { m.To = "Eve <eve@example.com>" },
		"quoted recipient":   func(m *Message) { m.To = "\"a\r\nb\"@example.fi" },
		"no recipient":       func(m *Message) { m.To = "" },
		"line in the ID":     func(m *Message) { m.ID = "x\r\nBcc: eve@example.com" },
		"bracket in the ID":  func(m *Message) { m.ID = "x><y" },
		"no ID":              func(m *Message) { m.ID = "" },
		"line in a language": func(m *Message) { m.Language = "fi\r\nBcc: eve@example.com" },
	} {
		m := hello
		change(&m)
		if err := c.Deliver(t.Context(), m); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := s.letters(); len(got) != 0 {
		t.Errorf("%d letters went out", len(got))
	}
}

func answer(code int, words string) error {
	return &gosmtp.SMTPError{Code: code, EnhancedCode: gosmtp.EnhancedCode{code / 100, 1, 1}, Message: words}
}

// Which answers end a letter's life, and which are worth another attempt.
func TestAnswers(t *testing.T) {
	const echo = "spam: Salasanasi on vaihdettu to aino@example.fi"
	for _, c := range []struct {
		name    string
		server  *server
		refused bool
		want    string
	}{
		{"recipient unknown", &server{rcpt: answer(550, echo)}, true, "550 5.1.1 to the recipient"},
		{"letter refused", &server{data: answer(554, echo)}, true, "554 5.1.1 to the letter"},
		{"greylisted", &server{rcpt: answer(451, echo)}, false, "451 4.1.1 to the recipient"},
		{"out of space", &server{data: answer(452, echo)}, false, "452 4.1.1 to the letter"},
		{"sender refused", &server{mail: answer(550, echo)}, false, "550 5.1.1 to the sender"},
		{"sign-in needed", &server{username: "x", password: "y"}, false, "to the sender"},
	} {
		s := serve(t, StartTLS, c.server)
		err := carrier(t, s, nil).Deliver(t.Context(), hello)
		if err == nil || errors.Is(err, ErrRefused) != c.refused || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "Salasana") || strings.Contains(err.Error(), "aino")) {
			t.Errorf("%s: the error quotes the letter: %v", c.name, err)
		}
	}
}

func TestTroubleOnTheWayIsWorthAnotherAttempt(t *testing.T) {
	s := serve(t, StartTLS, &server{username: "portti", password: "right"})
	for name, change := range map[string]func(*SMTP){
		"wrong password":  func(c *SMTP) { c.Username, c.Password = "portti", secret(t, "wrong") },
		"password gone":   func(c *SMTP) { c.Username, c.Password = "portti", "/nonexistent/password" },
		"unknown issuer":  func(c *SMTP) { c.CAs = x509.NewCertPool() },
		"another name":    func(c *SMTP) { c.Host = "127.0.0.1" },
		"wrong protocol":  func(c *SMTP) { c.TLS = Implicit; c.Timeout = time.Second },
		"nobody listens":  func(c *SMTP) { c.Port = closedPort(t) },
		"no such machine": func(c *SMTP) { c.Host = "nowhere.invalid" },
	} {
		err := carrier(t, s, change).Deliver(t.Context(), hello)
		if err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "wrong\"") || strings.Contains(err.Error(), "aino") {
			t.Errorf("%s: the error tells too much: %v", name, err)
		}
	}
	if len(s.letters()) != 0 {
		t.Error("a letter went out")
	}
}

func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A server without STARTTLS, or somebody in between who takes it out, gets nothing.
func TestNothingIsSentInClear(t *testing.T) {
	s := serve(t, NoTLS, &server{username: "portti", password: "right"})
	c := carrier(t, s, func(c *SMTP) { c.Username, c.Password = "portti", secret(t, "right") })
	if err := c.Deliver(t.Context(), hello); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("delivered without TLS: %v", err)
	}
	if len(s.letters()) != 0 {
		t.Error("a letter went out in clear")
	}
}

func TestASlowServerIsGivenUp(t *testing.T) {
	hang := make(chan struct{})
	s := serve(t, StartTLS, &server{hang: hang})
	t.Cleanup(func() { close(hang) }) // before the server's own, which waits for its sessions
	for name, c := range map[string]struct {
		timeout, context time.Duration
	}{
		"by its timeout":    {300 * time.Millisecond, time.Minute},
		"when context ends": {time.Minute, 300 * time.Millisecond},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.context)
		err := carrier(t, s, func(x *SMTP) { x.Timeout = c.timeout }).Deliver(ctx, hello)
		cancel()
		if err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server that never greets is given up too, and the connection is closed.
func TestASilentServerIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = conn.Read(make([]byte, 1)) // returns when the other side closes
			conn.Close()
		}
		closed <- err
	}()
	c := carrier(t, &server{host: "localhost", port: l.Addr().(*net.TCPAddr).Port}, func(c *SMTP) { c.Timeout = 200 * time.Millisecond })
	if err := c.Deliver(t.Context(), hello); err == nil {
		t.Error("delivered to nobody")
	}
	if err := <-closed; !errors.Is(err, io.EOF) {
		t.Errorf("the connection was left open: %v", err)
	}
}

func TestSettingsOfTheMailServer(t *testing.T) {
	good := func() *SMTP { return &SMTP{Host: "mail.example.fi", From: "no-reply@id.example.fi"} }
	for _, c := range []struct {
		change func(*SMTP)
		want   string
	}{
		{func(*SMTP) {}, ""},
		{func(s *SMTP) { s.From = "Portti <no-reply@id.example.fi>" }, ""},
		{func(s *SMTP) { s.TLS, s.Host = NoTLS, "localhost" }, ""},
		{func(s *SMTP) { s.TLS, s.Host = NoTLS, "127.0.0.1" }, ""},
		{func(s *SMTP) { s.TLS = NoTLS }, "setting smtp.tls: none is for"},
		{func(s *SMTP) { s.TLS = "ssl" }, "setting smtp.tls: it must be"},
		{func(s *SMTP) { s.Host = "" }, "setting smtp.host: it is missing"},
		{func(s *SMTP) { s.Host = "mail.example.fi:587" }, "setting smtp.host"},
		{func(s *SMTP) { s.Port = 70000 }, "setting smtp.port"},
		{func(s *SMTP) { s.From = "" }, "setting smtp.from"},
		{func(s *SMTP) { s.From = "Portti" }, "setting smtp.from"},
		{func(s *SMTP) { s.From = "a@b.fi\r\nBcc: x@y.z" }, "setting smtp.from"},
		{func(s *SMTP) { s.From = "Väestö <väestö@id.example.fi>" }, "setting smtp.from"},
		{func(s *SMTP) { s.From = "Väestö <no-reply@id.example.fi>" }, ""},
		{func(s *SMTP) { s.Username = "x" }, "setting smtp.username"},
		{func(s *SMTP) { s.Password = "x" }, "setting smtp.username"},
		{func(s *SMTP) { s.Hello = "a b" }, "setting smtp.hello"},
	} {
		s := good()
		c.change(s)
		if got := problems(s); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", s, got, c.want)
		}
	}
	s := good()
	problems(s)
	if s.Port != 587 || s.TLS != StartTLS || s.Hello != "id.example.fi" {
		t.Errorf("defaults %+v", s)
	}
}
