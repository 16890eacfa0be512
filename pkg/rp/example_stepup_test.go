package rp_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/portti-id/portti/pkg/rp"
)

// An API that demands the card for one call, and an application that follows the
// API's challenge: a person who signed in with a password and a code is asked for
// the card when they want to seal something, and comes back to the page.
func Example_stepUp() {
	// The API. Its operator registered "archive" as a client that serves the
	// resource https://archive.example.fi.
	api, err := rp.NewResource(context.Background(), rp.ResourceConfig{
		Issuer:       "https://id.example.fi",
		Audience:     "https://archive.example.fi",
		ClientID:     "archive",
		ClientSecret: os.Getenv("ARCHIVE_SECRET"),
	})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("GET /api/records", api.Protect(rp.Demand{Scopes: []string{"records"}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "The records of", rp.AccessFromContext(r.Context()).Subject)
	})))
	http.Handle("GET /api/seal", api.Protect(rp.Demand{Scopes: []string{"records"}, ACR: []string{rp.ACRCard}, MaxAge: 5 * time.Minute}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Sealed.")
	})))

	// The application. Its client may ask for the resource and for the scope.
	p, err := rp.New(context.Background(), rp.Config{
		Issuer:       "https://id.example.fi",
		ClientID:     "records",
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		RedirectURL:  "https://records.example.fi/callback",
		Scopes:       []string{"profile", "records"},
		Resource:     "https://archive.example.fi",
		Claims:       []string{"name"},
		DefaultACR:   rp.ACRPasswordOTP,
	})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("GET /seal", p.Require("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := rp.FromContext(r.Context()).AccessToken(r.Context())
		if err != nil {
			p.Login(w, r, rp.LoginOptions{ReturnTo: "/seal"})
			return
		}
		call, _ := http.NewRequestWithContext(r.Context(), "GET", "https://archive.example.fi/api/seal", nil)
		call.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(call)
		if err != nil {
			http.Error(w, "the archive does not answer", http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		if p.StepUp(w, r, res) {
			return // to the card, and back to /seal
		}
		fmt.Fprintln(w, "The archive says:", res.Status)
	})))
}
