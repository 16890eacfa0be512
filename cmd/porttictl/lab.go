package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/cardlab"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/web"
)

// lab needs no installation: it stands beside one, for trying cards out.
func (t *tool) lab() *cobra.Command {
	var dir, listen, address string
	var anywhere bool
	c := &cobra.Command{
		Use: "lab", Short: "Run a card lab: test CAs, a virtual card for every outcome, OCSP and lists",
		Long: `Run a card lab until Ctrl-C: test CAs in the shape of the Agency's, a virtual
card for every outcome of a card sign-in, and their OCSP responders and lists
of revoked cards, with switches on a page.

A provider accepts the cards when its settings name the lab's trust bundle and
accept test CAs. Never let one in production do so: anybody may have the cards.

The folder keeps CAs and cards for the next time. It is made, and only its owner
can read it: run the lab as the provider's user, or copy the bundle.`,
		Example: `porttictl lab --dir ./card-lab
porttictl lab --dir ./card-lab --listen 0.0.0.0:8880 --anywhere --address http://192.0.2.10:8880`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := mayListen(listen, anywhere, address); err != nil {
				return usageError{err}
			}
			folder, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			l, err := web.Listen(listen)
			if err != nil {
				return err
			}
			base := strings.TrimSuffix(cmp.Or(address, "http://"+l.Addr().String()), "/")
			lab, err := cardlab.Open(folder, base+cardlab.Prefix, time.Now)
			if errors.Is(err, cardtest.ErrFormer) {
				err = fmt.Errorf("%w; remove the folder, or choose another with --dir", err)
			}
			if err != nil {
				return errors.Join(err, l.Close())
			}
			fmt.Fprintf(t.out, labIsReady, base, cardlab.TrustFolder(folder), cardlab.CardFolder(folder), cardlab.Password)
			return web.Serve(c.Context(), l, cardlab.NewSite(lab, cardlab.TrustFolder(folder), anywhere), nil, slog.New(slog.DiscardHandler))
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", "", "`folder` for CAs, cards and trust bundle; required")
	f.StringVar(&listen, "listen", "127.0.0.1:8880", "`address` and port to listen on")
	f.BoolVar(&anywhere, "anywhere", false, "let other machines look, download cards and ask about them; switches stay with this one")
	f.StringVar(&address, "address", "", "`URL` at which providers reach the lab (default http://LISTEN)")
	if err := c.MarkFlagRequired("dir"); err != nil {
		panic(err) // it is there, two lines above
	}
	return c
}

const labIsReady = `The card lab is at %[1]s

  Every card, what it should come to, and switches: open that address on this machine.

  In the settings of a provider that is not in production:
    card:
      trust:
        folder: %[2]s
        accept_test_cas: true

  The cards are in %[3]s; the password of each file is %[4]s.
  Into the browser: import a .p12 file as your own certificate; the page says how.
  Without a browser: curl --cert NAME.pem https://CARD-HOST/…

Stop it with Ctrl-C.
`

// mayListen refuses what other machines reach, unless it is asked for.
func mayListen(listen string, anywhere bool, address string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--listen: %q is not address:port", listen)
	}
	a, err := netip.ParseAddr(host)
	here := host == "localhost" || err == nil && a.Unmap().IsLoopback()
	if !here && !anywhere {
		return fmt.Errorf("--listen: other machines would reach %s; say --anywhere if that is meant", listen)
	}
	if address == "" {
		if host == "" || err == nil && a.IsUnspecified() {
			return errors.New("--address: say at which URL providers reach the lab")
		}
		return nil
	}
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--address: %q is not a URL such as http://192.0.2.10:8880", address)
	}
	return nil
}
