// Command conformance prepares a Portti that the OpenID Foundation's conformance
// suite can test, and stands in front of it.
//
//	conformance setup -data DIR   keys, settings, a person, clients, and plan configurations for the suite
//	conformance proxy -data DIR   https in front of Portti; it types the person's one-time code for the suite
//	conformance wait -data DIR    until Portti answers through the proxy
//
//	main.go      the commands
//	setup.go     what is made once: certificates, settings, the database's content
//	clients.go   the registrations, and the private keys of those that have some
//	plans.go     what is pasted into the suite
//	proxy.go     the proxy
//
// It exists for conformance tests alone, and is part of no image or package.
// Portti itself runs as it does anywhere, from its own binary and a settings
// file: the suite's browser can only type constants, so what stands in front
// puts a true code in the place of one constant. See README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// place is where everything lies and listens.
type place struct {
	Data   string // folder
	Issuer string // what the suite calls Portti, the proxy's address
	MTLS   string // Portti's own listener for clients with certificates
	Behind string // host:port that Portti listens at behind the proxy
	Suite  string // origin of the suite, for redirect addresses
	Alias  string // of the suite's plans, part of those addresses
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: conformance setup|proxy|wait -data DIR")
	}
	var p place
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.StringVar(&p.Data, "data", "", "folder for keys, settings and database")
	flags.StringVar(&p.Issuer, "issuer", "https://localhost:9443", "address of Portti as the suite has it")
	flags.StringVar(&p.MTLS, "mtls", "https://localhost:9444", "address of Portti for clients with certificates")
	flags.StringVar(&p.Behind, "behind", "127.0.0.1:9442", "where Portti listens behind the proxy")
	flags.StringVar(&p.Suite, "suite", "https://localhost.emobix.co.uk:8443", "origin of the conformance suite")
	flags.StringVar(&p.Alias, "alias", "portti", "alias of the plans in the suite")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if p.Data == "" {
		return fmt.Errorf("-data is missing")
	}
	switch args[0] {
	case "setup":
		return setup(ctx, p)
	case "proxy":
		return serve(ctx, p)
	case "wait":
		return wait(ctx, p)
	}
	return fmt.Errorf("unknown command %q", args[0])
}
