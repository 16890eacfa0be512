// Command portti is the provider.
//
//	portti serve -config FILE     open, assemble, listen, until SIGTERM or SIGINT (the default)
//	portti check -config FILE     say whether the settings and their files are right
//	portti migrate -config FILE   bring the database's schema up to date
//	portti keygen                 print a new line for the master key file
//
//	main.go     the commands
//	serve.go    open, listen, assemble, serve, stop
//	open.go     files, database and Redis; each failure names its setting
//	config.go   what the settings are to the parts; what an operator should know of them
//
// The settings are documented in package internal/server/settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/server/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "portti:", err)
		}
		os.Exit(1)
	}
}

const usage = `usage: portti [serve|check|migrate] -config FILE
       portti keygen

  serve     be the provider until SIGTERM or SIGINT (the default)
  check     say whether the settings and the files they name are right
  migrate   bring the database's schema up to date
  keygen    print a new line for the master key file; it is secret
`

// run is main, with its surroundings passed in.
func run(ctx context.Context, args []string, out, errs io.Writer) error {
	command := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("portti", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() { fmt.Fprint(errs, usage) }
	file := flags.String("config", settings.Default, "settings file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q\n%s", flags.Arg(0), usage)
	}
	switch command {
	case "serve":
		return serve(ctx, *file, errs)
	case "check":
		return check(*file, out)
	case "migrate":
		return migrate(ctx, *file, out)
	case "keygen":
		_, err := fmt.Fprintln(out, keys.GenerateMaster())
		return err
	case "help":
		_, err := fmt.Fprint(out, usage)
		return err
	}
	return fmt.Errorf("unknown command %q\n%s", command, usage)
}

// check reads everything that serve would read, and touches no network.
func check(file string, out io.Writer) error {
	s, err := settings.Load(file)
	if err != nil {
		return err
	}
	f, err := readFiles(s, newLog(s.Log, io.Discard))
	if err != nil {
		return err
	}
	for _, w := range warnings(s, f, time.Now()) {
		fmt.Fprintln(out, "note:", w)
	}
	_, err = fmt.Fprintf(out, "%s: the settings are right\n", file)
	return err
}

func migrate(ctx context.Context, file string, out io.Writer) error {
	s, err := settings.Load(file)
	if err != nil {
		return err
	}
	master, err := loadMaster(s)
	if err != nil {
		return err
	}
	s.Database.NoMigrations = false
	db, err := openStore(ctx, s, master)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "the schema is up to date")
	return err
}
