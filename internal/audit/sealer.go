package audit

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"
)

// Chain is what the Sealer needs of SQL.
type Chain interface {
	// Seal gives up to n waiting events their places behind the chain's end, the
	// lowest ID first, in one transaction, and moves the signed end. One caller at a
	// time does it; the others get Sealed{} at once. An end that the key has not
	// signed is ErrForgedEnd, and nothing is sealed behind it.
	//
	// An event waits from the commit that wrote it, so one that commits late gets a
	// later place and none is left out. Of two events of which the first was
	// committed before the second began, the first comes first.
	Seal(ctx context.Context, n int, o SealOptions) (Sealed, error)

	// Waiting tells whether there is anything to seal.
	Waiting(ctx context.Context) (bool, error)

	// RemoveUpTo signs away everything up to the last checkpoint before a time;
	// Removed{} when there is none. Whoever has the lock does it, as with Seal.
	RemoveUpTo(ctx context.Context, before time.Time, o SealOptions) (Checkpoint, error)
	// Removed deletes up to n events that were signed away.
	DeleteRemoved(ctx context.Context, n int) (int64, error)

	Recorder
}

// SealOptions are the key, and when to leave a checkpoint behind.
type SealOptions struct {
	Key       ed25519.PrivateKey
	Events    int64         // a checkpoint every so many events
	Every     time.Duration // and when the last one is so old
	AnyEvents bool          // and now, if there was an event since the last one
}

// Sealed is what a call of Seal has done.
type Sealed struct {
	Events     int        // how many were sealed
	Forged     []int64    // sequences of those whose MAC is wrong
	Unmarked   []int64    // of those that have none
	Lost       int        // how many of those that waited are gone
	End        Checkpoint // the end of the chain; zero: somebody else was sealing
	Checkpoint Checkpoint // the one that was left behind, if any
}

// ErrForgedEnd says that the end of the chain is not what a sealer has signed.
var ErrForgedEnd = errors.New("the end of the audit trail is not signed by its key: somebody has changed the database, or the secret " + KeyName + " is another one now")

// How the Sealer works.
const (
	sealEvery       = time.Second
	sealAtOnce      = 500
	checkpointAfter = 1000            // events
	checkpointEvery = 5 * time.Minute // when there was an event
	removeEvery     = time.Hour
	removeAtOnce    = 500
)

// Sealer makes the trail a chain: it seals new events every second, leaves signed
// checkpoints behind and removes what is older than the retention. Every replica
// has one; the database lets one of them work at a time.
type Sealer struct {
	Chain     Chain
	Key       ed25519.PrivateKey
	File      string        // checkpoints are appended to it, one JSON object a line; "": to the log alone
	Retention time.Duration // 0: for ever
	Now       func() time.Time
	Log       *slog.Logger

	seen int64 // the furthest end that this replica knows of
}

// Run seals until ctx ends, and then once more.
func (s *Sealer) Run(ctx context.Context) {
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	var looked, removed time.Time
	failing := false
	for ctx.Err() == nil {
		now := s.Now()
		err := s.seal(ctx, now.Sub(looked) > checkpointEvery, false)
		if now.Sub(looked) > checkpointEvery {
			looked = now
		}
		if err == nil && s.Retention > 0 && now.Sub(removed) > removeEvery {
			removed = now
			err = s.remove(ctx, now.Add(-s.Retention))
		}
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			s.Log.ErrorContext(ctx, "audit trail not sealed", "error", err)
		case err == nil && failing:
			s.Log.InfoContext(ctx, "audit trail sealed again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.seal(last, true, true); err != nil {
		s.Log.ErrorContext(last, "audit trail not sealed", "error", err)
	}
}

// SealAll seals everything that waits now and leaves a checkpoint behind.
func (s *Sealer) SealAll(ctx context.Context) error { return s.seal(ctx, true, true) }

// seal works until nothing waits. look: also when nothing does, for a checkpoint.
func (s *Sealer) seal(ctx context.Context, look, checkpoint bool) error {
	if !look {
		if waiting, err := s.Chain.Waiting(ctx); err != nil || !waiting {
			return err
		}
	}
	for {
		done, err := s.Chain.Seal(ctx, sealAtOnce, SealOptions{Key: s.Key, Events: checkpointAfter, Every: checkpointEvery, AnyEvents: checkpoint})
		if err != nil {
			return err
		}
		if err := s.tell(ctx, done); err != nil {
			return err
		}
		if done.Events < sealAtOnce {
			return nil
		}
	}
}

// tell says what was found, and takes the checkpoint to where the database's
// masters cannot change it.
func (s *Sealer) tell(ctx context.Context, done Sealed) error {
	if len(done.Forged) > 0 {
		s.Log.ErrorContext(ctx, "audit events were forged", "sequences", done.Forged)
	}
	if len(done.Unmarked) > 0 {
		s.Log.WarnContext(ctx, "audit events without a MAC", "events", len(done.Unmarked), "first", done.Unmarked[0])
	}
	if done.Lost > 0 {
		s.Log.ErrorContext(ctx, "audit events are gone that waited to be sealed", "events", done.Lost)
		if err := s.Chain.Record(ctx, Event{At: s.Now(), Type: TrailLost, Actor: "system", Details: map[string]string{"events": strconv.Itoa(done.Lost)}}); err != nil {
			return err
		}
	}
	if !done.End.IsZero() {
		if done.End.Sequence < s.seen {
			s.Log.ErrorContext(ctx, "the audit trail ends before where it was: the database was put back", "sequence", done.End.Sequence, "was", s.seen)
		}
		s.seen = done.End.Sequence
	}
	if done.Checkpoint.IsZero() {
		return nil
	}
	s.Log.InfoContext(ctx, "audit checkpoint", "checkpoint", done.Checkpoint)
	if s.File == "" {
		return nil
	}
	line, err := json.Marshal(done.Checkpoint)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("audit.checkpoint_file: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// remove takes away what is older than the retention.
func (s *Sealer) remove(ctx context.Context, before time.Time) error {
	marker, err := s.Chain.RemoveUpTo(ctx, before, SealOptions{Key: s.Key})
	if err != nil {
		return err
	}
	if !marker.IsZero() {
		s.Log.InfoContext(ctx, "audit events are removed", "checkpoint", marker)
		if err := s.Chain.Record(ctx, Event{At: s.Now(), Type: TrailRemoved, Actor: "system", Reason: "retention", Details: map[string]string{"through": strconv.FormatInt(marker.Sequence, 10)}}); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		if n, err := s.Chain.DeleteRemoved(ctx, removeAtOnce); err != nil || n == 0 {
			return err
		}
	}
	return nil
}
