// Command demo is all of Portti in one process: the provider, User Services and
// two protected services, on SQLite and memory, with people, organisations and
// virtual cards to try it with. It needs nothing but Go.
//
//	main.go     flags, and what is printed
//	demo.go     Start: the parts put together, one port, one name each
//	seed.go     organisations, people and clients
//	gateway.go  where the provider's text messages arrive
//	pocket.go   what people have in their pockets: letters, authenticators, cards
//	desk.go     the demo desk: the page that shows the pockets and the card lab
//
// The desk exists here alone. Nothing of it is linked into the real programs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, stop, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "demo:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, stop func(), args []string, out, errs io.Writer) error {
	var o Options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.IntVar(&o.Port, "port", 8080, "`port` of the pages")
	flags.StringVar(&o.Listen, "listen", "127.0.0.1", "`address` to listen on; whoever reaches it can be everybody in the demo")
	flags.IntVar(&o.CardPort, "card-port", 8443, "`port` of the card host")
	flags.StringVar(&o.Data, "data", "", "`folder` that keeps people, keys and cards; none: everything is forgotten at the end")
	verbose := flags.Bool("verbose", false, "log every request, and warnings")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	level := slog.LevelError // warnings are daily life where responders and lists are taken down for play
	if *verbose {
		level = slog.LevelInfo
	}
	o.Log = slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(o.Log) // libraries use it
	d, err := Start(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // Ctrl-C came first
		}
		return err
	}
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for anything
	fmt.Fprintf(out, welcome, d.Origin("desk"), d.Origin("service"), d.Origin("records"), d.Origin("services"), d.Origin("console"), d.Origin("id"), d.cardOrigin(), d.Origin("lab"))
	err = d.Wait()
	fmt.Fprintln(out, "Stopped.")
	return err
}

const welcome = `
Portti is ready. Play an employee's first day in ten minutes:

  1. Open %s
     the demo desk, with the letters, codes and cards of the people you play
  2. Follow Aino's story there. It begins at the protected service
  3. Stop the demo with Ctrl-C

  Service        %s
  Records        %s   demands the card
  User Services  %s
  Console        %s   for the people with a role on the desk
  Provider       %s   the issuer
  Card host      %s   your browser warns of its certificate: it is the demo's own
  Card lab       %s   in English

The demo trusts no cards but those it has made. The card lab on the desk revokes them.
`
