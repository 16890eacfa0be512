// Command porttictl is the operator's tool: organisations, people, clients, keys
// and the audit trail, from the command line of a machine that has the
// provider's settings file.
//
//	main.go           the root command, exit codes
//	open.go           settings, database, and the rooms over it
//	place.go          from where the operator acts, for the trail
//	show.go           what is printed: tables, YAML or JSON
//	organisation_….go, user_….go, client_….go, registration_token_….go, key_….go, trust_….go, crl_….go, letter_….go, audit_….go: one file a command
//	lab.go            the card lab, which needs no installation
//
// Every change is a dry run unless --apply is given: it is checked in full and
// then rolled back. People change through identity.Directory and clients through
// openid.Clients, so that audit events and letters commit with the change;
// letters leave by the running provider.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/server/settings"
)

// Exit codes.
const (
	exitFailed      = 1 // settings, files, or something unforeseen
	exitInvalid     = 2 // the command line or a value in it is wrong
	exitNotFound    = 3 // there is no such thing
	exitConflict    = 4 // it exists already, or its state does not permit this
	exitUnavailable = 5 // the database does not answer
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main, with its surroundings passed in.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	root := newRoot(out, errs)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(errs, "porttictl:", err)
	return exitCode(err)
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func exitCode(err error) int {
	if usage := (usageError{}); errors.As(err, &usage) {
		return exitInvalid
	}
	f, ok := fault.Of(err)
	if !ok {
		return exitFailed
	}
	switch f.Kind {
	case fault.Invalid:
		return exitInvalid
	case fault.NotFound:
		return exitNotFound
	case fault.Conflict, fault.Denied, fault.Gone:
		return exitConflict
	case fault.Unavailable:
		return exitUnavailable
	}
	return exitFailed
}

// tool is what every command has at hand.
type tool struct {
	config   string
	apply    bool
	json     bool
	operator string
	out, err io.Writer
}

func newRoot(out, errs io.Writer) *cobra.Command {
	t := &tool{out: out, err: errs}
	root := &cobra.Command{
		Use:   "porttictl",
		Short: "Manage organisations, people, clients and keys of a Portti installation",
		Long: `Manage organisations, people, clients and keys of a Portti installation.

Every change is a dry run unless --apply is given: it is checked in full and
nothing is written.

Exit codes: 0 done, 1 failed, 2 wrong input, 3 not found, 4 conflicts with what
is there, 5 the database does not answer.`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		// Without this cobra takes a misspelt command for an argument.
		Args: cobra.NoArgs, RunE: help,
	}
	root.SetOut(out)
	root.SetErr(errs)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	// Settings and messages spell minimum_acr: both spellings are understood.
	root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	flags := root.PersistentFlags()
	flags.StringVar(&t.config, "config", settings.Default, "the provider's settings `file`")
	flags.BoolVar(&t.apply, "apply", false, "really do it; without this flag a change is only rehearsed")
	flags.BoolVar(&t.json, "json", false, "print JSON")
	flags.StringVar(&t.operator, "operator", "", "your `name` for the audit trail (default: the name you are logged in by)")
	root.AddCommand(
		group("organisation", "Employers: what sign-in methods they permit",
			t.organisationCreate(), t.organisationList(), t.organisationShow(), t.organisationChange(), t.organisationDisable(), t.organisationEnable()),
		group("user", "People: accounts, passwords and links",
			t.userCreate(), t.userList(), t.userShow(), t.userChange(), t.userDisable(), t.userEnable(), t.userOrder(), t.userRemoveAuthenticator(), t.userLinkingCode(), t.userUnlock(), t.userResync(), t.userEndSessions(), t.userUnfreeze(), t.userRole(),
			group("card", "Cards that wait for an approval, because the holder's name is not exactly the person's", t.userCardList(), t.userCardApprove(), t.userCardRefuse())),
		group("client", "Relying parties: the services that people sign in to",
			t.clientCreate(), t.clientList(), t.clientShow(), t.clientDoctor(), t.clientChange(), t.clientDisable(), t.clientEnable(), t.clientRotateSecret(),
			t.clientImport(), t.clientExport()),
		group("registration-token", "Tokens that let software register clients",
			t.registrationTokenCreate(), t.registrationTokenList(), t.registrationTokenRevoke()),
		group("key", "Signing keys: prepare, promote, retire, replace; master key: reseal",
			t.keyList(), t.keyPrepare(), t.keyPromote(), t.keyRetire(), t.keyReplace(), t.keyReseal()),
		group("trust", "Trust bundles: whose cards are accepted",
			t.trustShow(), t.trustVerify(), t.trustDiff(), t.trustStrangers()),
		group("crl", "The CAs' lists of revoked certificates", t.crlList(), t.crlImport(), t.crlFetch(), t.crlForget()),
		group("card", "Certificate cards: what a card test came to", t.cardTest()),
		group("letter", "Letters and text messages that wait or were given up", t.letterList(), t.letterRetry(), t.letterDiscard()),
		group("trace", "How sign-ins went", t.traceShow()),
		group("audit", "The audit trail", t.auditList(), t.auditExport(), t.auditVerify(), t.auditCheckpoint(), t.auditKey()),
		t.lab(),
	)
	strict(root)
	return root
}

func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs, RunE: help}
	g.AddCommand(commands...)
	return g
}

func help(c *cobra.Command, _ []string) error {
	if err := c.Help(); err != nil {
		return err
	}
	return usageError{errors.New("say which command")}
}

// strict makes wrong arguments usage errors, in every command.
func strict(c *cobra.Command) {
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
		}
		return nil
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}
