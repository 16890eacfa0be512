package rp_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/portti-id/portti/pkg/rp"
)

// A complete application with a protected page, a page that demands the card, and
// logout. docs/relying-parties-go.md shows the same program; a test keeps them equal.
func Example() {
	p, err := rp.New(context.Background(), rp.Config{
		Issuer:                "https://id.example.fi",
		ClientID:              "records",
		ClientSecret:          os.Getenv("CLIENT_SECRET"),
		RedirectURL:           "https://records.example.fi/callback",
		PostLogoutRedirectURL: "https://records.example.fi/logout/callback",
		Scopes:                []string{"profile"},
		DefaultACR:            rp.ACRPasswordOTP,
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", p.Callback)
	mux.HandleFunc("POST /logout", p.Logout)
	mux.HandleFunc("GET /logout/callback", p.LogoutCallback)
	mux.HandleFunc("POST /logout/backchannel", p.BackChannelLogout)

	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Anybody may read this. The records are behind /records/1.")
	})
	mux.Handle("GET /records/{id}", p.Require("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := rp.FromContext(r.Context())
		fmt.Fprintf(w, "%s (%s) reads record %s.\n", s.Claim("name"), s.Subject, r.PathValue("id"))
	})))
	mux.Handle("GET /secret", p.Require(rp.ACRCard, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Only with the card.")
	})))
	log.Fatal(http.ListenAndServe("127.0.0.1:8081", mux))
}

// Calling the provider's API with a token that is always fresh, and stepping up
// when the API asks for it (RFC 9470).
func ExampleSession_AccessToken() {
	var p *rp.RP // from rp.New
	http.HandleFunc("GET /links", func(w http.ResponseWriter, r *http.Request) {
		s, err := p.Session(r)
		if err != nil {
			p.Login(w, r, rp.LoginOptions{ReturnTo: "/links"})
			return
		}
		token, err := s.AccessToken(r.Context())
		if err != nil {
			p.Login(w, r, rp.LoginOptions{ReturnTo: "/links"})
			return
		}
		req, _ := http.NewRequestWithContext(r.Context(), "GET", "https://id.example.fi/api/links", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			http.Error(w, "the provider does not answer", http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		if p.StepUp(w, r, res) {
			return
		}
		fmt.Fprintln(w, res.Status)
	})
}
