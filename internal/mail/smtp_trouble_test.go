package mail

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An address outside ASCII goes to servers that say they take it, and to no other; a
// domain outside ASCII goes everywhere; nobody else's letter asks for anything special.
func TestAddressesOutsideASCII(t *testing.T) { // RFC 6531, RFC 5891
	for _, c := range []struct {
		to    string
		takes bool // the server
		got   string
		asked bool // for SMTPUTF8
	}{
		{"aino@example.fi", true, "aino@example.fi", false},
		{"aino@example.fi", false, "aino@example.fi", false},
		{"väinö.ääkkönen@example.fi", true, "väinö.ääkkönen@example.fi", true},
		{"väinö.ääkkönen@example.fi", false, "", false},
		{"aino@ääkköset.example", false, "aino@xn--kkset-fraa0m.example", false},
		{"väinö@ääkköset.example", true, "väinö@xn--kkset-fraa0m.example", true},
		{"väinö@ääkköset.example", false, "", false},
	} {
		s := serve(t, StartTLS, &server{utf8: c.takes})
		m := hello
		m.To = c.to
		err := carrier(t, s, nil).Deliver(t.Context(), m)
		got := s.letters()
		if c.got == "" {
			if !errors.Is(err, ErrRefused) || !strings.HasPrefix(reason(err), "mail server: it takes no address with letters outside ASCII (SMTPUTF8)") || strings.Contains(reason(err), "inö") || len(got) != 0 {
				t.Errorf("%s: %v, %d letters", c.to, err, len(got))
			}
			continue
		}
		if err != nil || len(got) != 1 || got[0].to != c.got || got[0].utf8 != c.asked {
			t.Errorf("%s, to a server that takes it: %v: %v, %+v", c.to, c.takes, err, got)
			continue
		}
		letter, err := netmail.ReadMessage(bytes.NewReader(got[0].raw))
		if err != nil {
			t.Fatal(err)
		}
		if to := letter.Header.Get("To"); to != "<"+c.got+">" {
			t.Errorf("%s: To is %s", c.to, to)
		}
	}
}

// script is a mail server that answers each command as a test says, and otherwise
// takes everything. It knows no more of SMTP than that.
type script struct {
	t       *testing.T
	port    int
	tls     *tls.Config
	answers map[string]string // by command: "greeting", "EHLO", "STARTTLS", "AUTH", "NOOP", "MAIL", "RCPT", "DATA", "letter"; "cut" closes the connection
	without string            // an extension that it does not offer
	once    bool              // the answers are those of the first connection alone

	mu       sync.Mutex
	lines    []string // of commands that came in clear
	accepted []string // letters that it has taken, whether or not it could say so
	calls    atomic.Int64
}

func (s *script) serve(t *testing.T) *SMTP {
	t.Helper()
	s.t = t
	encryption, cas := certificate(t)
	s.tls = encryption
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.talk(conn, s.calls.Add(1)) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return carrier(t, &server{host: "localhost", port: s.port, cas: cas}, func(c *SMTP) { c.Username, c.Password = "portti", secret(t, "hush-hush") })
}

// talk is one connection.
func (s *script) talk(conn net.Conn, call int64) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // ends a test that hangs
	in, encrypted := bufio.NewReader(conn), false
	say := func(command, usual string) bool {
		line := usual
		if own, ok := s.answers[command]; ok && (call == 1 || !s.once) {
			line = own
		}
		if line == "cut" {
			return false
		}
		_, err := fmt.Fprintf(conn, "%s\r\n", line)
		return err == nil && strings.HasPrefix(line, usual[:1])
	}
	if !say("greeting", "220 here") {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if line = strings.TrimRight(line, "\r\n"); !encrypted {
			s.mu.Lock()
			s.lines = append(s.lines, line)
			s.mu.Unlock()
		}
		command, _, _ := strings.Cut(line, " ")
		switch command {
		case "EHLO", "HELO":
			offers := slices.DeleteFunc([]string{"STARTTLS", "AUTH PLAIN", "ENHANCEDSTATUSCODES"}, func(o string) bool { return o == s.without || encrypted && o == "STARTTLS" })
			if !say("EHLO", "250-localhost\r\n250-"+strings.Join(offers, "\r\n250-")+"\r\n250 HELP") && s.answers["EHLO"] == "cut" {
				return
			}
		case "STARTTLS":
			if !say("STARTTLS", "220 go") {
				return
			}
			secured := tls.Server(conn, s.tls)
			if secured.Handshake() != nil {
				return
			}
			conn, in, encrypted = secured, bufio.NewReader(secured), true
		case "DATA":
			if !say("DATA", "354 go") {
				if s.answers["DATA"] == "cut" {
					return
				}
				continue
			}
			if s.letter(in, call) || !say("letter", "250 taken") && s.answers["letter"] == "cut" {
				return
			}
		case "QUIT":
			say("QUIT", "221 bye")
			return
		default:
			if usual := map[string]string{"AUTH": "235 ok", "NOOP": "250 ok", "RSET": "250 ok", "MAIL": "250 ok", "RCPT": "250 ok"}[command]; usual == "" || !say(command, usual) && s.answers[command] == "cut" {
				return
			}
		}
	}
}

// letter reads one, and tells whether the connection is cut in the middle of it.
func (s *script) letter(in *bufio.Reader, call int64) (cut bool) {
	var text strings.Builder
	for n := 0; ; n++ {
		line, err := in.ReadString('\n')
		if err != nil || n == 20 && s.answers["body"] == "cut" && (call == 1 || !s.once) {
			return true
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(line)
	}
	if answer := s.answers["letter"]; answer == "" || answer == "cut" || s.once && call > 1 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.accepted = append(s.accepted, text.String())
	}
	return false
}

func (s *script) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accepted)
}

// What a server can say at each step, and whether it ends the letter's life. Only an
// answer about the recipient or the letter can: the rest is a matter of settings, of
// the network or of time.
func TestEveryStepMayFail(t *testing.T) {
	const echo = " spam: Salasanasi on vaihdettu to aino@example.fi"
	for _, c := range []struct {
		step, answer string
		refused      bool
	}{
		{"greeting", "421 busy", false}, {"greeting", "554 no", false}, {"greeting", "cut", false},
		{"EHLO", "421 busy", false}, {"EHLO", "550 no", false}, {"EHLO", "cut", false},
		{"STARTTLS", "454 not now", false}, {"STARTTLS", "500 what", false}, {"STARTTLS", "cut", false},
		{"AUTH", "454 not now", false}, {"AUTH", "535 wrong", false}, {"AUTH", "cut", false},
		{"NOOP", "421 busy", false}, {"NOOP", "cut", false},
		{"MAIL", "451 not now", false}, {"MAIL", "530 sign in", false}, {"MAIL", "552 full", false}, {"MAIL", "cut", false},
		{"RCPT", "450 greylisted", false}, {"RCPT", "452 full", false}, {"RCPT", "550 unknown", true}, {"RCPT", "cut", false},
		{"DATA", "451 not now", false}, {"DATA", "554 no", true}, {"DATA", "cut", false},
		{"body", "cut", false},
		{"letter", "451 not now", false}, {"letter", "452 full", false}, {"letter", "552 too long", true}, {"letter", "554 spam", true}, {"letter", "cut", false},
	} {
		s := &script{answers: map[string]string{c.step: c.answer}}
		if c.answer != "cut" {
			s.answers[c.step] += echo
		}
		m := hello
		m.Body = strings.Repeat("Hei Aino, kaikki hyvin.\n", 2000)
		err := s.serve(t).Deliver(t.Context(), m)
		if err == nil || errors.Is(err, ErrRefused) != c.refused {
			t.Errorf("%s %s: %v", c.step, c.answer, err)
		}
		if late := []string{"MAIL", "RCPT", "DATA", "body", "letter"}; err != nil && slices.Contains(late, c.step) && (strings.Contains(err.Error(), "Salasana") || strings.Contains(err.Error(), "aino")) {
			t.Errorf("%s %s: the error quotes the letter: %v", c.step, c.answer, err)
		}
		if n := len(s.taken()); n != 0 && (c.step != "letter" || c.answer != "cut") {
			t.Errorf("%s %s: %d letters were taken", c.step, c.answer, n)
		}
	}
}

// What comes after "taken" is no failure: the letter would go out twice.
func TestAGoodbyeThatFails(t *testing.T) {
	for _, step := range []string{"RSET", "QUIT"} {
		s := &script{answers: map[string]string{step: "cut"}}
		if err := s.serve(t).Deliver(t.Context(), hello); err != nil || len(s.taken()) != 1 {
			t.Errorf("%s: %v, %d letters", step, err, len(s.taken()))
		}
	}
}

// Whoever stands between us and the server can take STARTTLS out of its offers, or
// slip answers in behind it (CVE-2011-0411). Nothing of the letter and no password
// goes out in clear, and what was slipped in is not believed.
func TestSomebodyInBetweenGetsNothing(t *testing.T) {
	for name, s := range map[string]*script{
		"stripped":   {without: "STARTTLS"},
		"slipped in": {answers: map[string]string{"STARTTLS": "220 go\r\n250-localhost\r\n250 AUTH LOGIN\r\n334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 ok"}},
	} {
		err := s.serve(t).Deliver(t.Context(), hello)
		s.mu.Lock()
		for _, line := range s.lines {
			if !strings.HasPrefix(line, "EHLO ") && !strings.HasPrefix(line, "HELO ") && line != "STARTTLS" && line != "QUIT" {
				t.Errorf("%s: it heard %q in clear", name, line)
			}
		}
		s.mu.Unlock()
		if taken := len(s.taken()); errors.Is(err, ErrRefused) || (err == nil) != (taken == 1) || name == "stripped" && err == nil {
			t.Errorf("%s: %v, %d letters", name, err, taken)
		}
	}
}

// A connection that breaks in the middle of a letter costs an attempt and no letter:
// the server has no whole one, and gets it once. Where it breaks after the last byte,
// nobody knows what the server has made of it, and it comes twice, with one
// Message-ID. So a letter is delivered at least once.
func TestAConnectionThatBreaksInTheMiddleOfALetter(t *testing.T) {
	for where, want := range map[string]int{"body": 1, "letter": 2} {
		server := &script{answers: map[string]string{where: "cut"}, once: true}
		carrier, s, log := server.serve(t), &shelf{}, &bytes.Buffer{}
		var later atomic.Int64
		o := outbox(s, carrier, log)
		o.Texts = catalogue{"fi": {"mail.welcome.subject": "Tervetuloa", "mail.welcome.body": strings.Repeat("Hei\n", 50) + "Salasana: {password}"}}
		o.Log = slog.New(slog.DiscardHandler)
		o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
		s.post(t, welcome(1), time.Now())
		stop := run(t, o)
		until(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.reasons) == 1 })
		if waiting, dead := s.left(); waiting != 1 || dead != 0 {
			t.Errorf("%s: after the break %d wait, %d are dead", where, waiting, dead)
		}
		later.Store(int64(time.Hour))
		o.Kick()
		until(t, func() bool { waiting, dead := s.left(); return waiting+dead == 0 })
		stop()
		got := server.taken()
		ids := map[string]bool{}
		for _, letter := range got {
			m, err := netmail.ReadMessage(strings.NewReader(letter))
			if err != nil {
				t.Fatal(err)
			}
			ids[m.Header.Get("Message-Id")] = true
		}
		if len(got) != want || len(ids) != 1 || !ids["<L1@id.example.fi>"] || server.calls.Load() != 2 {
			t.Errorf("%s: %d letters with the IDs %v in %d connections", where, len(got), ids, server.calls.Load())
		}
	}
}

// until waits for a state.
func until(t *testing.T, there func() bool) {
	t.Helper()
	for range 3000 {
		if there() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it never came to that")
}
