package audit

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"
)

// Finding is something that is wrong with a trail.
type Finding struct {
	Sequence int64  `json:"sequence"` // where
	Code     string `json:"code"`
	Text     string `json:"text"`
}

// Report is what a Verifier has found.
type Report struct {
	Organisation string     `json:"organisation,omitempty"`
	From         int64      `json:"from"`     // the first sequence
	To           int64      `json:"to"`       // the last one
	As           time.Time  `json:"as_of"`    // when the end was signed
	Events       int64      `json:"events"`   // whose content was there
	LeftOut      int64      `json:"left_out"` //
	Unmarked     int64      `json:"unmarked"` // written before the chain was, at its beginning
	Checkpoints  int        `json:"checkpoints"`
	Findings     []Finding  `json:"findings"`
	More         int        `json:"more_findings,omitempty"` // than are listed
	End          Checkpoint `json:"end,omitzero"`
}

// Sound tells whether nothing is wrong.
func (r Report) Sound() bool { return len(r.Findings) == 0 }

const mostFindings = 100

// Verifier follows a chain: Start, every Entry and Checkpoint in order, End. A
// wrong link is told once; the chain is then followed from what it claims, so that
// every place that was tampered with is named.
type Verifier struct {
	key    ed25519.PublicKey
	known  []Checkpoint // by sequence
	report Report

	sequence int64 // the last place
	link     Hash
	sound    int64                 // the last place that a signature vouches for
	marked   bool                  // an event with a MAC was seen: from here on every one has
	seen     map[[16]byte]struct{} // contents, which a nonce makes different
}

// NewVerifier takes checkpoints that were kept elsewhere, in any order. Those with
// a wrong signature are findings.
func NewVerifier(key ed25519.PublicKey, known []Checkpoint) *Verifier {
	v := &Verifier{key: key, seen: map[[16]byte]struct{}{}}
	for _, c := range known {
		if err := c.Check(key); err != nil {
			v.find(c.Sequence, "checkpoint_forged", "the known checkpoint of %d: %v", c.Sequence, err)
			continue
		}
		v.known = append(v.known, c)
	}
	slices.SortStableFunc(v.known, func(a, b Checkpoint) int { return int(a.Sequence - b.Sequence) })
	return v
}

func (v *Verifier) find(sequence int64, code, text string, args ...any) {
	if len(v.report.Findings) == mostFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, Finding{sequence, code, fmt.Sprintf(text, args...)})
}

// Report is what was found until now.
func (v *Verifier) Report() Report { return v.report }

// Start says from where: the zero Checkpoint is the very beginning.
func (v *Verifier) Start(from Checkpoint) {
	v.report.From = from.Sequence + 1
	if from.IsZero() {
		return
	}
	v.sequence, v.link, v.sound = from.Sequence, from.Link, from.Sequence
	if err := from.Check(v.key); err != nil {
		v.find(from.Sequence, "start_forged", "the trail starts behind %d, and nobody vouches for that: %v", from.Sequence, err)
	}
	v.marked = from.Kind == Reached
	v.pass(from.Sequence - 1)
	v.compare(from.Sequence)
}

// Entry is the next event.
func (v *Verifier) Entry(e Entry) {
	v.place(e.Sequence, e.Mark, e.Content(), &e.Link)
	v.report.Events++
}

// place is the next link; claimed is what is said of it, nil when nothing is. What
// comes behind a gap cannot be held against what was before it, and is believed.
func (v *Verifier) place(sequence int64, mark Mark, content Hash, claimed *Hash) {
	want := v.sequence + 1
	switch {
	case sequence > want:
		v.find(want, "missing", "%s missing", span(want, sequence-1))
		v.pass(sequence - 1)
	case sequence < want:
		v.find(sequence, "out_of_order", "an event at %d comes where %d is due: it was put in, or events were swapped", sequence, want)
		if claimed != nil && LinkOf(v.link, sequence, mark, content) != *claimed {
			return // and the chain goes on without it
		}
	}
	link := LinkOf(v.link, sequence, mark, content)
	v.sequence = max(v.sequence, sequence)
	if v.link = link; claimed != nil && link != *claimed {
		if sequence == want {
			v.find(sequence, "link_broken", "the event at %d is not the one that was sealed, or the one before it is not", sequence)
		}
		v.link = *claimed
	}
	switch {
	case mark == Forged:
		v.find(sequence, "event_forged", "the event at %d carried a wrong MAC when it was sealed: somebody without the key wrote or changed it", sequence)
	case mark == Unmarked && v.marked:
		v.find(sequence, "event_unmarked", "the event at %d carried no MAC when it was sealed: somebody without the key wrote it", sequence)
	case mark == Unmarked:
		v.report.Unmarked++
	case mark == Genuine:
		v.marked = true
		if _, twice := v.seen[[16]byte(content[:])]; twice {
			v.find(sequence, "copied", "the event at %d is a copy of an earlier one", sequence)
		}
		v.seen[[16]byte(content[:])] = struct{}{}
	default:
		v.find(sequence, "mark_unknown", "the event at %d has an unknown mark", sequence)
	}
	v.compare(sequence)
}

func span(from, to int64) string {
	if from == to {
		return fmt.Sprintf("the event at %d is", from)
	}
	return fmt.Sprintf("the events from %d to %d are", from, to)
}

// pass leaves checkpoints behind that tell of what is not there.
func (v *Verifier) pass(sequence int64) {
	for len(v.known) > 0 && v.known[0].Sequence <= sequence {
		v.known = v.known[1:]
	}
}

// compare holds the chain against what is known from elsewhere.
func (v *Verifier) compare(sequence int64) {
	for len(v.known) > 0 && v.known[0].Sequence <= sequence {
		if c := v.known[0]; c.Sequence == sequence {
			v.vouch(c, "known checkpoint")
		}
		v.known = v.known[1:]
	}
}

func (v *Verifier) vouch(c Checkpoint, what string) {
	if c.Link != v.link {
		v.find(c.Sequence, "checkpoint_contradicts", "the %s of %d, signed %s, tells of another chain: something between %d and %d was made anew", what, c.Sequence, c.At.UTC().Format(time.DateTime), v.sound+1, c.Sequence)
		return
	}
	v.sound = c.Sequence
	v.report.Checkpoints++
}

// Checkpoint is one that comes with the trail.
func (v *Verifier) Checkpoint(c Checkpoint) {
	switch err := c.Check(v.key); {
	case err != nil:
		v.find(c.Sequence, "checkpoint_forged", "the checkpoint of %d: %v", c.Sequence, err)
	case c.Sequence != v.sequence:
		v.find(c.Sequence, "checkpoint_misplaced", "the checkpoint of %d stands behind %d", c.Sequence, v.sequence)
	default:
		v.vouch(c, "checkpoint")
	}
}

// End is the signed end of the chain.
func (v *Verifier) End(end Checkpoint) {
	v.report.To, v.report.As, v.report.End = v.sequence, end.At, end
	if err := end.Check(v.key); err != nil {
		v.find(end.Sequence, "end_forged", "the end at %d: %v", end.Sequence, err)
	} else {
		switch {
		case end.Sequence > v.sequence:
			v.find(v.sequence+1, "missing", "%s missing: the signed end is at %d", span(v.sequence+1, end.Sequence), end.Sequence)
		case end.Sequence < v.sequence:
			v.find(end.Sequence+1, "behind_the_end", "%s behind the signed end", span(end.Sequence+1, v.sequence))
		default:
			v.vouch(end, "end")
		}
	}
	v.reaches()
}

// NoEnd is a trail without one, in place of End: nobody has begun it, or somebody has
// taken it away.
func (v *Verifier) NoEnd() {
	v.report.To = v.sequence
	if v.sequence > 0 {
		v.find(v.sequence, "end_missing", "the trail has no signed end: what came behind %d is missing", v.sequence)
	}
	v.reaches()
}

// reaches holds the trail's length against what is known from elsewhere.
func (v *Verifier) reaches() {
	for _, c := range v.known {
		if c.Sequence > v.sequence {
			v.find(c.Sequence, "older_than_known", "the trail ends at %d, while a checkpoint of %d is known, signed %s: this is an older copy, or its tail was cut off", v.sequence, c.Sequence, c.At.UTC().Format(time.DateTime))
			break
		}
	}
}
