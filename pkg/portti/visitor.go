package portti

import (
	"context"
	"net/http"
	"net/netip"
)

// VisitorHeader is the request header in which an app tells the provider for whose
// browser it calls: one IP address, 192.0.2.7 or 2001:db8::7, and nothing else. The
// provider believes it of clients that are registered with forwards_addresses.
const VisitorHeader = "Portti-Visitor-Address"

type visitor struct{}

// WithVisitor is a context whose calls tell the provider the address of the browser
// that they are made for, which it keeps in the audit trail. An address that is not
// valid is not told.
func WithVisitor(ctx context.Context, address netip.Addr) context.Context {
	return context.WithValue(ctx, visitor{}, address.Unmap().WithZone(""))
}

// present shows the access token, and whom the call is for.
func present(r *http.Request, token string) {
	r.Header.Set("Authorization", "Bearer "+token)
	if address, _ := r.Context().Value(visitor{}).(netip.Addr); address.IsValid() {
		r.Header.Set(VisitorHeader, address.String())
	}
}
