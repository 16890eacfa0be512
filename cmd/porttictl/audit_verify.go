package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
)

func (t *tool) auditVerify() *cobra.Command {
	var database bool
	var keyFile string
	var known []string
	c := &cobra.Command{Use: "verify [FILE]", Short: "Check that nothing in the trail was changed, put in, taken out or moved", Args: cobra.MaximumNArgs(1),
		Long: `Check that nothing in the trail was changed, put in, taken out or moved.

A FILE that audit export has written is checked without database and settings:
with the public key (audit key) and, if there are any, with checkpoints that were
kept elsewhere. With --database the trail itself is checked. Without checkpoints
from elsewhere nobody can tell an older copy from the newest.

Exit codes: 0 sound, 1 not sound or not readable, 2 wrong input.`,
		Example: "  porttictl audit verify kuntala.jsonl --key audit.key --checkpoints checkpoints.jsonl\n  porttictl audit verify --database --checkpoints checkpoints.jsonl"}
	flags := c.Flags()
	flags.BoolVar(&database, "database", false, "check the trail of the installation")
	flags.StringVar(&keyFile, "key", "", "`file` with the public key, as audit key prints it; needed for a FILE")
	flags.StringSliceVar(&known, "checkpoints", nil, "`files` with checkpoints that were kept elsewhere: of audit checkpoint, of audit.checkpoint_file, or logs in JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		if database == (len(args) == 1) {
			return usageError{errors.New("name a FILE, or say --database")}
		}
		var checkpoints []audit.Checkpoint
		for _, path := range known {
			some, err := audit.ReadCheckpoints(path)
			if err != nil {
				return usageError{fmt.Errorf("--checkpoints: %w", err)}
			}
			checkpoints = append(checkpoints, some...)
		}
		if database {
			return t.with(func(ctx context.Context, d *desk, _ []string) error {
				report, err := d.verify(ctx, keyFile, checkpoints)
				if err != nil {
					return err
				}
				return d.verdict(report)
			})(c, args)
		}
		key, err := readAuditKey(keyFile)
		if err != nil {
			return err
		}
		f, err := os.Open(args[0])
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		report, err := audit.VerifyFile(f, key, checkpoints)
		if err != nil {
			return err
		}
		return (&desk{tool: t}).verdict(report)
	}
	return c
}

func readAuditKey(path string) (ed25519.PublicKey, error) {
	if path == "" {
		return nil, usageError{errors.New("--key: name the file with the public key; the one in the file itself proves nothing")}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("--key: %w", err)}
	}
	key, err := audit.ParseKey(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("--key: %s: %w", path, err)}
	}
	return key, nil
}

// verify follows the chain in the database.
func (d *desk) verify(ctx context.Context, keyFile string, known []audit.Checkpoint) (audit.Report, error) {
	private, err := d.auditKey(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	key := private.Public().(ed25519.PublicKey)
	if keyFile != "" {
		if key, err = readAuditKey(keyFile); err != nil {
			return audit.Report{}, err
		}
	}
	state, err := d.store.TrailState(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	reached, removed, err := d.store.Checkpoints(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	v := audit.NewVerifier(key, slices.Concat(known, reached, removed))
	v.Start(state.Removed)
	for e, err := range d.store.Entries(ctx, state.Removed.Sequence+1, state.End.Sequence) {
		if err != nil {
			return audit.Report{}, err
		}
		v.Entry(e)
	}
	if state.End.IsZero() {
		v.NoEnd()
	} else {
		v.End(state.End)
	}
	report := v.Report()
	// What is in nobody's order: put in behind the trigger's back, or taken out of the queue.
	astray, err := d.store.Astray(ctx, 100)
	for _, id := range astray {
		report.Findings = append(report.Findings, audit.Finding{Code: "outside_the_chain", Text: fmt.Sprintf("the event with the row ID %d is neither in the chain nor waits for it", id)})
	}
	return report, err
}

// verdict prints the report; what is not sound is an error.
func (d *desk) verdict(r audit.Report) error {
	if err := d.show(struct {
		Sound bool `json:"sound"`
		audit.Report
	}{r.Sound(), r}); err != nil {
		return err
	}
	if !r.Sound() {
		return fmt.Errorf("the audit trail is not sound: %s", cmp.Or(r.Findings[0].Text, r.Findings[0].Code))
	}
	return nil
}
