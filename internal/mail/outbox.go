package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrRefused is a letter that the other side will never take.
var ErrRefused = errors.New("refused for good")

// errOver is a letter whose temporary password or link works no longer: to send it
// would only mislead its reader.
var errOver = fmt.Errorf("the temporary password or link in it has expired: %w", ErrRefused)

const (
	maxAttempts  = 12 // with the pauses below, about twenty hours
	firstPause   = time.Minute
	longestPause = 6 * time.Hour
)

// Outbox delivers what is due until it is told to stop. Any number of replicas
// may run one each: a letter is leased to one of them at a time.
//
// A letter is delivered at least once. It goes out twice when the provider dies,
// SQL stays away or the connection breaks between the server's "accepted" and our
// note of it: nobody can tell then whether it has arrived, and a letter too many is
// better than one too few. Both have the same Message-ID.
//
// What a letter says is never logged and never leaves with an error.
type Outbox struct {
	Store   Store
	Open    func(sealed, aad string) ([]byte, error) // keys.Master.Open
	Texts   Texts
	Carrier Carrier       // of mail; nil: mail waits
	Gateway Carrier       // of text messages; nil: they wait
	Workers int           // deliveries at once; 4
	Every   time.Duration // how often to look without a Kick; 10 s
	Timeout time.Duration // of one delivery; 2 min
	Grace   time.Duration // how long a delivery may go on after the end of Run's context; 10 s
	Now     func() time.Time
	Log     *slog.Logger

	once sync.Once
	kick chan struct{}
}

func (o *Outbox) start() {
	o.once.Do(func() {
		o.Workers = cmp.Or(o.Workers, 4)
		o.Every = cmp.Or(o.Every, 10*time.Second)
		o.Timeout = cmp.Or(o.Timeout, 2*time.Minute)
		o.Grace = cmp.Or(o.Grace, 10*time.Second)
		if o.Now == nil {
			o.Now = time.Now
		}
		if o.Log == nil {
			o.Log = slog.Default()
		}
		o.kick = make(chan struct{}, 1)
	})
}

// Kick says that there may be a letter, so that it does not wait for the next
// look. It never blocks.
func (o *Outbox) Kick() {
	o.start()
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// Run delivers letters until ctx ends, and returns when the deliveries under way
// have ended too.
func (o *Outbox) Run(ctx context.Context) {
	o.start()
	var working sync.WaitGroup
	defer working.Wait()
	places := make(chan struct{}, o.Workers)
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	for reachable := true; ; {
		free := take(ctx, places)
		if free == 0 {
			return
		}
		letters, err := o.Store.LeaseLetters(ctx, free, o.Now(), o.lease(), o.channels()...)
		if err != nil && reachable && ctx.Err() == nil { // once an outage
			o.Log.WarnContext(ctx, "letters wait: the outbox cannot be read", "error", err)
		}
		reachable = err == nil
		for range free - len(letters) {
			<-places
		}
		for _, q := range letters {
			working.Go(func() {
				defer func() { <-places }()
				o.deliver(ctx, q)
			})
		}
		if err == nil && len(letters) == free {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
			return
		case <-o.kick:
		case <-tick.C:
		}
	}
}

// channels are those that letters can leave by.
func (o *Outbox) channels() (open []Channel) {
	for _, c := range Channels {
		if o.carrier(c) != nil {
			open = append(open, c)
		}
	}
	return open
}

func (o *Outbox) carrier(c Channel) Carrier {
	if c == ByText {
		return o.Gateway
	}
	return o.Carrier
}

// take waits for one free place, and takes all others that are free too. 0 means
// that ctx has ended.
func take(ctx context.Context, places chan struct{}) (n int) {
	select {
	case <-ctx.Done():
		return 0
	case places <- struct{}{}:
	}
	for n = 1; n < cap(places); n++ {
		select {
		case places <- struct{}{}:
		default:
			return n
		}
	}
	return n
}

// lease is longer than a delivery and its note can take, so that no other replica
// gets a letter that is on its way.
func (o *Outbox) lease() time.Duration { return o.Timeout + noteFor + time.Minute }

// noteFor is how long the outcome of a delivery is held while SQL is away.
const noteFor = time.Minute

// deliver sends one letter and notes how it went. It goes on for a while after ctx
// has ended, as a letter cut off half-way may have been accepted.
func (o *Outbox) deliver(ctx context.Context, q Queued) {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(o.Grace, cancel) })
	defer stop()

	log := o.Log.With("letter", q.ID, "attempt", q.Attempts+1)
	template, err := o.send(sending, q)
	if err == nil {
		if err := o.note(ctx, func(ctx context.Context) error { return o.Store.LetterSent(ctx, q.ID) }); err != nil {
			log.ErrorContext(ctx, "letter delivered, but not noted: it will be delivered again", "error", err)
			return
		}
		log.InfoContext(ctx, "letter delivered", "template", template)
		return
	}
	next := o.next(q.Attempts+1, err)
	if noteErr := o.note(ctx, func(ctx context.Context) error { return o.Store.LetterFailed(ctx, q.ID, reason(err), next) }); noteErr != nil {
		log.WarnContext(ctx, "letter not delivered, and that not noted: it is tried again", "reason", reason(err), "error", noteErr)
		return
	}
	if errors.Is(err, errOver) {
		log.InfoContext(ctx, "letter not sent: the temporary password or link in it has expired")
		return
	}
	if next.IsZero() {
		log.ErrorContext(ctx, "letter given up", "template", template, "reason", reason(err))
		return
	}
	log.WarnContext(ctx, "letter not delivered, to be tried again", "template", template, "reason", reason(err), "next", next)
}

// send opens, renders and delivers a letter.
func (o *Outbox) send(ctx context.Context, q Queued) (Template, error) {
	if !q.Expires.IsZero() && !o.Now().Before(q.Expires) {
		return "", errOver
	}
	plain, err := o.Open(q.Sealed, q.ID)
	if err != nil {
		return "", err
	}
	var l Letter
	if json.Unmarshal(plain, &l) != nil { // its error would quote the letter
		return "", errors.New("the stored letter is not one")
	}
	l.ID = q.ID
	m, err := Render(o.Texts, l)
	if err != nil {
		return l.Template, err
	}
	carrier := o.carrier(q.Channel)
	if carrier == nil || cmp.Or(l.Channel, ByMail) != cmp.Or(q.Channel, ByMail) { // not what was leased
		return l.Template, errors.New("there is no way for this letter")
	}
	return l.Template, carrier.Deliver(ctx, m)
}

// next is when to try again, or never.
func (o *Outbox) next(attempts int, err error) time.Time {
	if errors.Is(err, ErrRefused) || attempts >= maxAttempts {
		return time.Time{}
	}
	return o.Now().Add(pause(attempts))
}

// pause doubles with every attempt. A fifth of it is chance, so that letters that
// failed together do not come back together.
func pause(attempts int) time.Duration {
	p := longestPause
	if attempts < 10 {
		p = min(firstPause<<(attempts-1), longestPause)
	}
	return p - p/10 + rand.N(p/5)
}

// note tells the store, for a while again and again: a letter whose delivery is
// forgotten goes out twice.
func (o *Outbox) note(ctx context.Context, tell func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteFor)
	defer cancel()
	for {
		err := tell(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// reason is short and on one line, for the store and the log.
func reason(err error) string {
	r := []rune(oneLine(err.Error()))
	if len(r) > 200 {
		return fmt.Sprintf("%s…", string(r[:199]))
	}
	return string(r)
}
