package mail

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/config"
	"github.com/portti-id/portti/internal/outgoing"
)

// Proof is how we show a gateway who is sending.
type Proof string

const (
	Bearer Proof = "bearer" // the default: the secret as a bearer token (RFC 6750 §2.1)
	Basic  Proof = "basic"  // user name and secret (RFC 7617)
	Header Proof = "header" // the secret in a header of the gateway's own
	HMAC   Proof = "hmac"   // the secret is not sent: it signs the time and the body
)

// Form is how a gateway wants the message.
type Form string

const (
	JSON       Form = "json" // the default: an object
	URLEncoded Form = "form" // as a browser's form
)

// Gateway delivers text messages through an operator's server, one POST a message:
//
//	POST /messages
//	Authorization: Bearer SECRET
//	Content-Type: application/json
//	Idempotency-Key: ID
//
//	{"id":"ID","text":"…","to":"+358401234567"}
//
// The names of the members can be changed, and constant ones added. Any answer in
// the 200s says that the gateway has the message.
type Gateway struct {
	URL       config.URL
	Form      Form
	To        string            // the members' names: "to",
	Text      string            // "text"
	ID        string            // and "id"; "-" leaves it out
	Constants map[string]string // other members, the same in every message
	Proof     Proof
	Secret    config.SecretFile // read at every delivery, so that it may be changed
	Username  string            // with Basic
	Header    string            // with Header: its name
	CAs       *x509.CertPool    // who may vouch for the gateway; nil: whom this machine trusts
	Private   []netip.Prefix    // networks inside our own in which it may be
	Timeout   time.Duration     // of one delivery; 15 s
	Now       func() time.Time  // for HMAC

	post *outgoing.Poster
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// Check fills in the defaults and says what is wrong with the settings. It must be
// called once before Deliver, when CAs is set. Problems are named by setting: "sms.url".
func (g *Gateway) Check(p *config.Problems) {
	g.Form, g.Proof = cmp.Or(g.Form, JSON), cmp.Or(g.Proof, Bearer)
	g.To, g.Text, g.ID = cmp.Or(g.To, "to"), cmp.Or(g.Text, "text"), cmp.Or(g.ID, "id")
	g.Timeout = cmp.Or(g.Timeout, 15*time.Second)
	if g.Now == nil {
		g.Now = time.Now
	}
	p.Need("sms.url", !g.URL.IsZero(), "where the gateway takes messages, such as https://gateway.example.fi/messages")
	p.Need("sms.secret_file", g.Secret.Given(), "the file with the secret that the gateway knows us by")
	if g.Form != JSON && g.Form != URLEncoded {
		p.Add("sms.form", "%q is not one of json, form", g.Form)
	}
	if !slices.Contains([]Proof{Bearer, Basic, Header, HMAC}, g.Proof) {
		p.Add("sms.proof", "%q is not one of bearer, basic, header, hmac", g.Proof)
	}
	if (g.Proof == Basic) != (g.Username != "") || strings.Contains(g.Username, ":") || !plain(g.Username) {
		p.Add("sms.username", "it goes with proof: basic, and only with it; a colon cannot be in it")
	}
	if (g.Proof == Header) != (g.Header != "") || g.Header != "" && !headerName.MatchString(g.Header) {
		p.Add("sms.header", "it is the name of a header, goes with proof: header, and only with it")
	}
	taken := map[string]bool{}
	for _, name := range append([]string{g.To, g.Text, g.ID}, slices.Sorted(maps.Keys(g.Constants))...) {
		if taken[name] || name == "" {
			p.Add("sms.constants", "two members of the message are called %q", name)
		}
		taken[name] = true
	}
	for i, network := range g.Private {
		if !network.IsValid() || network.Bits() == 0 {
			p.Add(fmt.Sprintf("sms.private[%d]", i), "%s is every address: name the network that the gateway is in", network)
		}
	}
	g.post = outgoing.Options{RootCAs: g.CAs, AllowNetworks: g.Private, Timeout: g.Timeout}.Poster()
}

// Number is what a phone number must look like on its way to a gateway (E.164).
var Number = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// Deliver sends one message. An answer in the 400s about the message wraps
// ErrRefused. One about who we are or where it was sent (401, 403, 404, 405), one
// that asks for patience (408, 425, 429), a redirect, which is not followed, and a
// failure of the gateway are worth another attempt. What the gateway says beside
// the status is never looked at: it may quote the message.
func (g *Gateway) Deliver(ctx context.Context, m Message) error {
	if !Number.MatchString(m.To) {
		return fmt.Errorf("the recipient is not a phone number: %w", ErrRefused)
	}
	if m.ID == "" || !headerName.MatchString(m.ID) || m.Body == "" {
		return fmt.Errorf("the message is not whole: %w", ErrRefused)
	}
	secret, err := g.Secret.Read()
	if err != nil {
		return fmt.Errorf("text gateway: %w", err)
	}
	kind, body, err := g.body(m)
	if err != nil {
		return fmt.Errorf("text gateway: %w", err)
	}
	header := map[string]string{"Content-Type": kind, "Idempotency-Key": m.ID}
	g.prove(header, secret, body)
	ctx, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	status, err := g.post.Post(ctx, g.URL.String(), header, body)
	switch {
	case err != nil:
		return fmt.Errorf("text gateway: %w", err)
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		return fmt.Errorf("text gateway: it answered %d, a redirect, which is not followed: set sms.url to where it leads", status)
	case status >= 400 && status < 500 && !slices.Contains([]int{401, 403, 404, 405, 408, 425, 429}, status):
		return fmt.Errorf("text gateway: it answered %d: %w", status, ErrRefused)
	}
	return fmt.Errorf("text gateway: it answered %d", status)
}

func (g *Gateway) body(m Message) (kind string, body []byte, err error) {
	members := map[string]string{g.To: m.To, g.Text: m.Body}
	for name, value := range g.Constants {
		members[name] = value
	}
	if g.ID != "-" {
		members[g.ID] = m.ID
	}
	if g.Form == URLEncoded {
		form := url.Values{}
		for name, value := range members {
			form.Set(name, value)
		}
		return "application/x-www-form-urlencoded", []byte(form.Encode()), nil
	}
	body, err = json.Marshal(members)
	return "application/json", body, err
}

// prove shows the secret, or that we have it. The signature is over the seconds
// since 1970, a dot and the body, so that neither can be changed nor sent later:
//
//	Portti-Signature: t=1795413600,v1=hex(HMAC-SHA256(SECRET, "1795413600." + body))
func (g *Gateway) prove(header map[string]string, secret string, body []byte) {
	switch g.Proof {
	case Basic:
		header["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(g.Username+":"+secret))
	case Header:
		header[g.Header] = secret
	case HMAC:
		at := strconv.FormatInt(g.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(at + "."))
		mac.Write(body)
		header["Portti-Signature"] = "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil))
	default:
		header["Authorization"] = "Bearer " + secret
	}
}
