package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"
)

// A trail as a file: JSON Lines, each of one of the shapes of line, in this order.
//
//	begin       what it is of, and from where it starts
//	event       an event with its place
//	left_out    events of others: their content's hash and mark alone, by which the
//	            chain is still followed
//	checkpoint  between them, each behind the event that it tells of
//	end         the chain's end when the file was made
//
// What begins behind the first event names the checkpoint (or removal) it starts
// from.

// line is one line of the file: one of these.
type line struct {
	Begin      *begin      `json:"begin,omitempty"`
	Event      *fileEvent  `json:"event,omitempty"`
	LeftOut    *leftOut    `json:"left_out,omitempty"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
	End        *Checkpoint `json:"end,omitempty"`
}

// tells says whether a line's text says what was read of it, and nothing else: one
// shape, each member once. Readers of JSON disagree on what comes twice, or in
// letters of another case, or is not known, and what one of them shows must be what
// is checked here.
func (l line) tells(text []byte) bool {
	shapes := 0
	for _, there := range []bool{l.Begin != nil, l.Event != nil, l.LeftOut != nil, l.Checkpoint != nil, l.End != nil} {
		if there {
			shapes++
		}
	}
	again, err := json.Marshal(l)
	return err == nil && shapes == 1 && bytes.Equal(again, text)
}

type begin struct {
	Format       string     `json:"format"` // portti audit 1
	Made         time.Time  `json:"made"`
	Organisation string     `json:"organisation,omitempty"` // events of others are left out
	Since        time.Time  `json:"since,omitzero"`         // and earlier ones
	Key          string     `json:"key"`                    // FormatKey; to compare, not to trust
	From         Checkpoint `json:"from,omitzero"`
}

const fileFormat = "portti audit 1"

type fileEvent struct {
	Sequence     int64             `json:"sequence"`
	Link         Hash              `json:"link"`
	Mark         Mark              `json:"mark"`
	Nonce        string            `json:"nonce"`
	At           time.Time         `json:"at"`
	Type         Type              `json:"type"`
	Actor        string            `json:"actor,omitempty"`
	User         string            `json:"user,omitempty"`
	Organisation string            `json:"organisation,omitempty"`
	Client       string            `json:"client,omitempty"`
	Session      string            `json:"session,omitempty"`
	Method       string            `json:"method,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	Address      string            `json:"address,omitempty"`
	Details      map[string]string `json:"details,omitempty"`
}

type leftOut struct {
	From  int64         `json:"from"`  // the sequence of the first
	Items []leftOutItem `json:"items"` //
	Link  Hash          `json:"link"`  // of the last
}

type leftOutItem struct {
	Content Hash `json:"content"`
	Mark    Mark `json:"mark,omitzero"`
}

// Writer writes a trail as a file.
type Writer struct {
	out     *json.Encoder
	flush   func() error
	keep    func(Entry) bool
	pending leftOut
	next    []Checkpoint // those still to come, by sequence
}

// NewWriter begins a file. Only what keep wants is told; checkpoints are those of
// the chain behind from, by sequence.
func NewWriter(w io.Writer, made time.Time, key ed25519.PublicKey, organisation string, since time.Time, from Checkpoint, checkpoints []Checkpoint) (*Writer, error) {
	buffered := bufio.NewWriter(w)
	f := &Writer{out: json.NewEncoder(buffered), flush: buffered.Flush, next: checkpoints, keep: func(e Entry) bool {
		return (organisation == "" || e.Organisation == organisation) && !e.At.Before(since)
	}}
	return f, f.out.Encode(line{Begin: &begin{fileFormat, made.UTC(), organisation, since, FormatKey(key), from}})
}

// Entry writes the next event.
func (w *Writer) Entry(e Entry) error {
	const together = 1000
	if !w.keep(e) {
		if len(w.pending.Items) == 0 {
			w.pending.From = e.Sequence
		}
		w.pending.Items, w.pending.Link = append(w.pending.Items, leftOutItem{e.Content(), e.Mark}), e.Link
		if len(w.pending.Items) < together && (len(w.next) == 0 || w.next[0].Sequence > e.Sequence) {
			return nil
		}
	}
	if err := w.leaveOut(); err != nil {
		return err
	}
	if w.keep(e) {
		if err := w.out.Encode(line{Event: &fileEvent{e.Sequence, e.Link, e.Mark, e.Nonce, e.At, e.Type, e.Actor, e.User, e.Organisation, e.Client, e.Session, e.Method, e.Reason, e.Address, e.Details}}); err != nil {
			return err
		}
	}
	for len(w.next) > 0 && w.next[0].Sequence <= e.Sequence {
		if err := w.out.Encode(line{Checkpoint: &w.next[0]}); err != nil {
			return err
		}
		w.next = w.next[1:]
	}
	return nil
}

func (w *Writer) leaveOut() error {
	if len(w.pending.Items) == 0 {
		return nil
	}
	err := w.out.Encode(line{LeftOut: &w.pending})
	w.pending = leftOut{}
	return err
}

// End finishes the file.
func (w *Writer) End(end Checkpoint) error {
	return errors.Join(w.leaveOut(), w.out.Encode(line{End: &end}), w.flush())
}

// VerifyFile checks a file by nothing but the public key and checkpoints that are
// known from elsewhere. The error is about reading; what is wrong with the trail
// is in the Report.
func VerifyFile(r io.Reader, key ed25519.PublicKey, known []Checkpoint) (Report, error) {
	v := NewVerifier(key, known)
	ended := false
	for n, text := range lines(r) {
		if text.err != nil {
			return v.report, text.err
		}
		var l line
		if err := json.Unmarshal(text.bytes, &l); err != nil {
			v.find(v.sequence+1, "line_unreadable", "line %d is not of this format: %v", n, err)
			continue
		}
		if !l.tells(text.bytes) {
			v.find(v.sequence+1, "line_altered", "line %d is not as it was written: others may read there what is checked nowhere", n)
		}
		switch {
		case ended:
			v.find(v.sequence, "behind_the_end", "line %d stands behind the end", n)
		case n == 1 != (l.Begin != nil):
			v.find(v.sequence, "begin_misplaced", "line %d: the first line, and no other, says what the file is", n)
		case l.Begin != nil:
			if l.Begin.Format != fileFormat {
				return v.report, fmt.Errorf("the format is %.40q, not %q", l.Begin.Format, fileFormat)
			}
			v.Start(l.Begin.From)
			v.report.Organisation = l.Begin.Organisation
		case l.Event != nil:
			e := l.Event
			v.Entry(Entry{Nonce: e.Nonce, Sequence: e.Sequence, Mark: e.Mark, Link: e.Link, Event: Event{e.At, e.Type, e.Actor, e.User, e.Organisation, e.Client, e.Session, e.Method, e.Reason, e.Address, e.Details}})
		case l.LeftOut != nil:
			for i, item := range l.LeftOut.Items {
				var claimed *Hash
				if i == len(l.LeftOut.Items)-1 {
					claimed = &l.LeftOut.Link
				}
				v.place(l.LeftOut.From+int64(i), item.Mark, item.Content, claimed)
			}
			v.report.LeftOut += int64(len(l.LeftOut.Items))
		case l.Checkpoint != nil:
			v.Checkpoint(*l.Checkpoint)
		case l.End != nil:
			ended = true
			v.End(*l.End)
		default:
			v.find(v.sequence, "line_unreadable", "line %d says nothing that is known here", n)
		}
	}
	if !ended {
		v.find(v.sequence, "end_missing", "the file stops without its end: what came behind %d is missing", v.sequence)
	}
	return v.report, nil
}

type textLine struct {
	bytes []byte
	err   error
}

// lines counts from 1 and passes over empty ones.
func lines(r io.Reader) iter.Seq2[int, textLine] {
	return func(yield func(int, textLine) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 64<<10), 16<<20)
		n := 0
		for s.Scan() {
			if n++; len(s.Bytes()) > 0 && !yield(n, textLine{bytes: s.Bytes()}) {
				return
			}
		}
		if s.Err() != nil {
			yield(n+1, textLine{err: s.Err()})
		}
	}
}

// ReadCheckpoints reads a file of them, one JSON object a line: as the setting
// audit.checkpoint_file has it written, or the provider's log, whose other lines
// are passed over. They come back by sequence.
func ReadCheckpoints(path string) ([]Checkpoint, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var known []Checkpoint
	for n, text := range lines(f) {
		if text.err != nil {
			return nil, fmt.Errorf("%s: %w", path, text.err)
		}
		var logged struct {
			Checkpoint
			In Checkpoint `json:"checkpoint"`
		}
		if err := json.Unmarshal(text.bytes, &logged); err != nil {
			return nil, fmt.Errorf("%s: line %d is no JSON of a checkpoint: %w", path, n, err)
		}
		if !logged.In.IsZero() {
			logged.Checkpoint = logged.In
		}
		if !logged.Checkpoint.IsZero() {
			known = append(known, logged.Checkpoint)
		}
	}
	slices.SortFunc(known, func(a, b Checkpoint) int { return int(a.Sequence - b.Sequence) })
	return known, nil
}
