package audit

// Count is how often something happened on a day (UTC).
type Count struct {
	Day    string // 2026-01-31
	Type   Type
	Method string
	Reason string // of the types that are Counted by it
	Events int64
}

// Counted tells whether statistics tell the reasons of a type apart: where they
// are codes of ours, not words of people.
func (t Type) Counted() bool { return t == SignInRefused || t == CardRefused }

// State is how the chain is.
type State struct {
	End        Checkpoint // zero: nothing was ever sealed
	Checkpoint Checkpoint // the last that was left behind
	Removed    Checkpoint // up to where old events were removed
	Waiting    int64      // events that are not sealed yet
	Doubtful   int64      // events that are Unmarked or Forged
}
