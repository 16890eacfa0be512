package mail

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// shelf is a Store in memory that keeps its promises.
type shelf struct {
	mu      sync.Mutex
	rows    []*row
	down    error // of every call
	deaf    error // of LetterSent and LetterFailed
	asked   int
	reasons []string
}

type row struct {
	Queued
	due  time.Time
	dead bool
}

func (s *shelf) LeaseLetters(_ context.Context, n int, now time.Time, lease time.Duration, of ...Channel) ([]Queued, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.down != nil {
		return nil, s.down
	}
	var out []Queued
	for _, r := range s.rows {
		if len(out) < n && !r.dead && !r.due.After(now) && slices.Contains(of, cmp.Or(r.Channel, ByMail)) {
			r.due = now.Add(lease)
			out = append(out, r.Queued)
		}
	}
	return out, nil
}

func (s *shelf) LetterSent(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.down, s.deaf); err != nil {
		return err
	}
	s.rows = slices.DeleteFunc(s.rows, func(r *row) bool { return r.ID == id })
	return nil
}

func (s *shelf) LetterFailed(_ context.Context, id, reason string, next time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.down, s.deaf); err != nil {
		return err
	}
	for _, r := range s.rows {
		if r.ID == id {
			r.Attempts++
			r.due, r.dead = next, next.IsZero()
			s.reasons = append(s.reasons, reason)
		}
	}
	return nil
}

func (s *shelf) left() (waiting, dead int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if r.dead {
			dead++
		} else {
			waiting++
		}
	}
	return waiting, dead
}

// post queues a letter, "sealed" so that a test sees when it is opened wrongly.
func (s *shelf) post(t *testing.T, l Letter, now time.Time) {
	t.Helper()
	plain, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, &row{Queued: Queued{ID: l.ID, Channel: l.Channel, Expires: l.Expires, Sealed: l.ID + "|" + string(plain), Created: now}, due: now})
}

func unsealed(sealed, aad string) ([]byte, error) {
	id, plain, _ := strings.Cut(sealed, "|")
	if id != aad {
		return nil, errors.New("another letter's")
	}
	return []byte(plain), nil
}

// desk is a Carrier that keeps what it gets.
type desk struct {
	mu    sync.Mutex
	got   []Message
	times []time.Time
	now   int // deliveries under way
	most  int
	do    func(ctx context.Context, n int) error // what happens at the nth delivery
}

func (d *desk) Deliver(ctx context.Context, m Message) error {
	d.mu.Lock()
	d.got, d.times = append(d.got, m), append(d.times, time.Now())
	n := len(d.got)
	d.now++
	d.most = max(d.most, d.now)
	d.mu.Unlock()
	defer func() { d.mu.Lock(); d.now--; d.mu.Unlock() }()
	if d.do != nil {
		return d.do(ctx, n)
	}
	return nil
}

func (d *desk) messages() []Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

var few = catalogue{"fi": {"mail.welcome.subject": "Tervetuloa", "mail.welcome.body": "Salasana: {password}"}}

const canary = "k7wp-3mxd-hy9c-tqa2"

func welcome(n int) Letter {
	return Letter{ID: fmt.Sprintf("L%d", n), To: "aino.canary@example.fi", Language: "fi", Template: Welcome, Args: map[string]string{"password": canary}}
}

func outbox(s Store, c Carrier, logged *bytes.Buffer) *Outbox {
	return &Outbox{Store: s, Open: unsealed, Texts: few, Carrier: c, Log: slog.New(slog.NewTextHandler(logged, nil))}
}

// run starts an outbox and returns what stops it and waits.
func run(t *testing.T, o *Outbox) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); o.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestLettersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, log := &shelf{}, &desk{}, &bytes.Buffer{}
		for n := range 25 {
			s.post(t, welcome(n), time.Now())
		}
		o := outbox(s, d, log)
		stop := run(t, o)
		synctest.Wait()
		if got := d.messages(); len(got) != 25 || got[0].Body != "Salasana: "+canary || got[0].Subject != "Tervetuloa" || got[0].ID == "" {
			t.Fatalf("%d letters, %+v", len(got), got[:min(1, len(got))])
		}
		if waiting, dead := s.left(); waiting+dead != 0 {
			t.Errorf("%d waiting, %d dead", waiting, dead)
		}

		// A kick is quicker than the next look.
		s.post(t, welcome(100), time.Now())
		synctest.Wait()
		if len(d.messages()) != 25 {
			t.Error("a letter left though nobody looked")
		}
		o.Kick()
		o.Kick()
		synctest.Wait()
		if len(d.messages()) != 26 {
			t.Error("a kick was not heard")
		}
		s.post(t, welcome(101), time.Now())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(d.messages()) != 27 {
			t.Error("without a kick the letter never leaves")
		}
		stop()
		if strings.Contains(log.String(), canary) || strings.Contains(log.String(), "aino.canary") || !strings.Contains(log.String(), "L100") {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestNoMoreDeliveriesAtOnceThanWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := &shelf{}, &bytes.Buffer{}
		d := &desk{do: func(_ context.Context, n int) error {
			time.Sleep(time.Duration(n%7) * time.Second)
			return nil
		}}
		for n := range 40 {
			s.post(t, welcome(n), time.Now())
		}
		o := outbox(s, d, log)
		o.Workers = 3
		stop := run(t, o)
		time.Sleep(5 * time.Minute)
		stop()
		if len(d.messages()) != 40 || d.most != 3 {
			t.Errorf("%d letters, %d at once", len(d.messages()), d.most)
		}
	})
}

func TestAFailedLetterComesBackLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := &shelf{}, &bytes.Buffer{}
		d := &desk{do: func(context.Context, int) error { return errors.New("451 come back\r\nlater") }}
		s.post(t, welcome(1), time.Now())
		stop := run(t, outbox(s, d, log))
		time.Sleep(48 * time.Hour)
		stop()
		if len(d.times) != maxAttempts {
			t.Fatalf("%d attempts, want %d", len(d.times), maxAttempts)
		}
		want := time.Minute
		for i := 1; i < len(d.times); i++ {
			pause := d.times[i].Sub(d.times[i-1])
			if pause < want*9/10 || pause > want*11/10+10*time.Second {
				t.Errorf("pause %d is %s, about %s expected", i, pause, want)
			}
			want = min(2*want, 6*time.Hour)
		}
		if waiting, dead := s.left(); waiting != 0 || dead != 1 {
			t.Errorf("%d waiting, %d dead", waiting, dead)
		}
		if s.reasons[0] != "451 come back  later" || strings.Contains(log.String(), canary) || !strings.Contains(log.String(), "given up") {
			t.Errorf("reason %q, log:\n%s", s.reasons[0], log)
		}
		ids := map[string]bool{}
		for _, m := range d.got {
			ids[m.ID] = true
		}
		if len(ids) != 1 {
			t.Errorf("the ID changed between attempts: %v", ids)
		}
	})
}

func TestARefusedLetterIsDeadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := &shelf{}, &bytes.Buffer{}
		d := &desk{do: func(context.Context, int) error { return fmt.Errorf("550 nobody here: %w", ErrRefused) }}
		s.post(t, welcome(1), time.Now())
		stop := run(t, outbox(s, d, log))
		time.Sleep(48 * time.Hour)
		stop()
		if waiting, dead := s.left(); len(d.messages()) != 1 || waiting != 0 || dead != 1 {
			t.Errorf("%d attempts, %d waiting, %d dead", len(d.messages()), waiting, dead)
		}
	})
}

func TestOneBadLetterDoesNotHoldTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, log := &shelf{}, &desk{}, &bytes.Buffer{}
		s.post(t, Letter{ID: "moved", To: "a@example.fi", Language: "fi", Template: Welcome}, time.Now())
		s.rows[0].Sealed = "other" + s.rows[0].Sealed
		s.rows = append(s.rows, &row{Queued: Queued{ID: "torn", Sealed: "torn|{\"Args\":{\"password\":\"" + canary}, due: time.Now()})
		s.post(t, Letter{ID: "unknown", To: "a@example.fi", Language: "fi", Template: "none", Args: map[string]string{"password": canary}}, time.Now())
		s.post(t, welcome(1), time.Now())
		stop := run(t, outbox(s, d, log))
		synctest.Wait()
		stop()
		if got := d.messages(); len(got) != 1 || got[0].ID != "L1" {
			t.Errorf("%+v", got)
		}
		if waiting, _ := s.left(); waiting != 3 || len(s.reasons) != 3 {
			t.Errorf("%d waiting, reasons %q", waiting, s.reasons)
		}
		if all := log.String() + strings.Join(s.reasons, "\n"); strings.Contains(all, canary) {
			t.Errorf("a password is in the log or a reason:\n%s", all)
		}
	})
}

func TestTwoReplicasDoNotSendTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := &shelf{}, &bytes.Buffer{}
		d := &desk{do: func(_ context.Context, n int) error {
			time.Sleep(time.Duration(n%5) * 20 * time.Second) // up to 80 s, longer than a look and a kick
			return nil
		}}
		for n := range 60 {
			s.post(t, welcome(n), time.Now())
		}
		var stops []func()
		for range 2 {
			o := outbox(s, d, log)
			o.Log = slog.New(slog.DiscardHandler)
			stops = append(stops, run(t, o))
			go func() {
				for range 50 {
					o.Kick()
					time.Sleep(7 * time.Second)
				}
			}()
		}
		time.Sleep(time.Hour)
		for _, stop := range stops {
			stop()
		}
		seen := map[string]int{}
		for _, m := range d.messages() {
			seen[m.ID]++
		}
		if len(seen) != 60 || len(d.messages()) != 60 {
			t.Errorf("%d letters in %d deliveries", len(seen), len(d.messages()))
		}
	})
}

// A carrier that hangs is cut off before the lease ends, so that the letter is
// never in two hands.
func TestADeliveryEndsBeforeItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := &shelf{}, &bytes.Buffer{}
		d := &desk{do: func(ctx context.Context, n int) error {
			if n == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		s.post(t, welcome(1), time.Now())
		stop := run(t, outbox(s, d, log))
		time.Sleep(time.Hour)
		stop()
		if d.most != 1 || len(d.got) != 2 || d.times[1].Sub(d.times[0]) < 2*time.Minute {
			t.Errorf("%d at once, attempts at %v", d.most, d.times)
		}
	})
}

// SQL is away for a while after a letter was delivered: it must not go out again.
func TestAShortOutageAfterTheDeliveryIsSatOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := &shelf{}, &bytes.Buffer{}
		d := &desk{}
		s.post(t, welcome(1), time.Now())
		s.deaf = errors.New("away")
		stop := run(t, outbox(s, d, log))
		time.Sleep(30 * time.Second)
		s.mu.Lock()
		s.deaf = nil
		s.mu.Unlock()
		time.Sleep(time.Hour)
		stop()
		if waiting, dead := s.left(); len(d.messages()) != 1 || waiting+dead != 0 {
			t.Errorf("%d deliveries, %d waiting, %d dead", len(d.messages()), waiting, dead)
		}
	})
}

func TestAnOutageIsToldOnceAndSatOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d, log := &shelf{down: errors.New("database away")}, &desk{}, &bytes.Buffer{}
		s.post(t, welcome(1), time.Now())
		stop := run(t, outbox(s, d, log))
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		s.down = nil
		s.mu.Unlock()
		time.Sleep(time.Minute)
		stop()
		if n := strings.Count(log.String(), "letters wait"); n != 1 || len(d.messages()) != 1 || s.asked > 200 {
			t.Errorf("told %d times, asked %d times, %d letters", n, s.asked, len(d.messages()))
		}
	})
}

// Stop waits for the letter that is on its way, but not for ever.
func TestStopping(t *testing.T) {
	for name, c := range map[string]struct {
		lasts     time.Duration
		delivered bool
	}{"soon done": {5 * time.Second, true}, "hanging": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, log := &shelf{}, &bytes.Buffer{}
				d := &desk{do: func(ctx context.Context, _ int) error {
					select {
					case <-time.After(c.lasts):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}}
				s.post(t, welcome(1), time.Now())
				stop := run(t, outbox(s, d, log))
				synctest.Wait()
				start := time.Now()
				stop()
				if took := time.Since(start); took > 11*time.Second { // the bubble's clock
					t.Errorf("stopping took %s", took)
				}
				if waiting, _ := s.left(); (waiting == 0) != c.delivered {
					t.Errorf("%d waiting", waiting)
				}
			})
		})
	}
}

// Letters leave by their own way, and where there is none they wait for it.
func TestEveryLetterTakesItsWay(t *testing.T) { // S55
	synctest.Test(t, func(t *testing.T) {
		s, mailed, texted, log := &shelf{}, &desk{}, &desk{}, &bytes.Buffer{}
		texts := catalogue{"fi": {"mail.welcome.subject": "Tervetuloa", "mail.welcome.body": "Hei", "mail.welcome.text": "Salasana: {password}"}}
		text := welcome(1)
		text.Channel, text.To = ByText, "+358401234567"
		s.post(t, text, time.Now())
		s.post(t, welcome(2), time.Now())
		lying := welcome(3) // a row that was changed: what is sealed counts
		s.post(t, lying, time.Now())
		s.rows[2].Channel = ByText

		o := outbox(s, mailed, log)
		o.Texts = texts
		stop := run(t, o)
		time.Sleep(time.Hour)
		stop()
		if waiting, dead := s.left(); waiting != 2 || dead != 0 || len(mailed.messages()) != 1 || len(s.reasons) != 0 {
			t.Errorf("without a gateway: %d waiting, %d dead, %d mailed, %q", waiting, dead, len(mailed.messages()), s.reasons)
		}

		o = &Outbox{Store: s, Open: unsealed, Texts: texts, Gateway: texted, Log: slog.New(slog.DiscardHandler)}
		stop = run(t, o)
		time.Sleep(time.Minute)
		stop()
		if got := texted.messages(); len(got) != 1 || got[0].To != "+358401234567" || got[0].Body != "Salasana: "+canary || got[0].Subject != "" {
			t.Errorf("%+v", got)
		}
		if len(mailed.messages()) != 1 || len(s.reasons) == 0 {
			t.Errorf("a letter left by another way: %d, %q", len(mailed.messages()), s.reasons)
		}
	})
}

// A password that works no longer is not sent.
func TestALetterIsOverWithItsPassword(t *testing.T) { // S16
	synctest.Test(t, func(t *testing.T) {
		s, log := &shelf{}, &bytes.Buffer{}
		d := &desk{do: func(context.Context, int) error { return errors.New("mail server: away") }}
		l := welcome(1)
		l.Expires = time.Now().Add(24 * time.Hour)
		s.post(t, l, time.Now())
		late := welcome(2)
		late.Expires = time.Now()
		s.post(t, late, time.Now())
		stop := run(t, outbox(s, d, log))
		time.Sleep(48 * time.Hour)
		stop()
		for _, at := range d.times {
			if !at.Before(l.Expires) {
				t.Errorf("tried at %v", at)
			}
		}
		if _, dead := s.left(); dead != 2 || len(d.messages()) == 0 || !slices.ContainsFunc(s.reasons, func(r string) bool { return strings.HasPrefix(r, "the temporary password or link in it has expired") }) {
			t.Errorf("%d dead, %d tried, %q", dead, len(d.messages()), s.reasons)
		}
		for _, m := range d.messages() {
			if m.ID == "L2" {
				t.Error("sent after its end")
			}
		}
	})
}
