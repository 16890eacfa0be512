package web_test

import (
	"html/template"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// The structs that the pages are written for, each with everything set. Packages
// signin and userservices have their own; a template's comment is what binds both.

type hidden struct{ Name, Value string }

type loginPage struct {
	web.Page
	cardForm
	Action, Cancel, Username, Order, Account string
	Password, PasswordFirst, Again           bool
	Logo, Policy, Terms                      string
}

type devicePage struct {
	web.Page
	Action, UserCode string
}

type deviceAskPage struct {
	consentPage
	SignIn, UserCode string
	Third            bool
}

type deviceAskedPage struct {
	web.Page
	Allowed bool
}

type consentPage struct {
	web.Page
	Allow, Deny, Token, Person, Leads, Logo, Policy, Terms string
	Scopes, Claims                                         []string
}

type codePage struct {
	web.Page
	Action, Restart, Account, AccountPrefix string
	BeforeChange, Linked                    bool
}

type changePage struct {
	web.Page
	Action, Restart, Username string
	Min                       int
}

type cardPage struct {
	web.Page
	cardForm
	Restart, Cancel, Order, Reason string
}

// cardForm is what pages have that send the browser to the card host.
type cardForm struct {
	CardStart, CardState, CardFailed string
	Trouble                          *trouble
}

type trouble struct {
	Verdict, Tail, Outcome string
	Silent, OldTLS         bool
}

func cards(w string) cardForm {
	return cardForm{CardStart: "/signin/TX/card" + w, CardState: "/signin/TX/card/state" + w, CardFailed: "/signin/TX/card/failed" + w}
}

func troubled(w string) cardForm {
	c := cards(w)
	c.Trouble = &trouble{Verdict: "handshake_broken", Tail: "9f31" + w, Outcome: "/signin/TX/card?refused=handshake_broken" + w, Silent: true, OldTLS: true}
	return c
}

type cardFailedPage struct {
	web.Page
	cardForm
	Verdict, Tail, Restart, Cancel, Order string
	OldTLS                                bool
}

type cardTestPage struct {
	web.Page
	CardStart, Find, CardState, CardFailed, Trouble string
	Old, Any                                        bool
}

type cardTestedPage struct {
	web.Page
	Verdict, Tail, Code, When, TLS, Kind, Mode, Again string
	Checks                                            []check
}

type check struct{ Name, State string }

type orderPage struct {
	web.Page
	Back, Action string
	Username     string
	Hours        int
}

type orderDonePage struct {
	web.Page
	Back  string
	Done  string
	Hours int
}

type orderLinkPage struct {
	web.Page
	NotMe                   bool
	Confirm, Cancel, Freeze string
}

type askedPage struct {
	web.Page
	Cancel, Continue string
}

type startPage struct {
	web.Page
	Services string
}

type returnPage struct {
	web.Page
	Return string
}

type loggedOutPage struct {
	returnPage
	Frames []string
	Next   string
}

type logoutPage struct {
	web.Page
	Action, Stay string
	Hidden       []hidden
}

type oauthPage struct {
	web.Page
	Code, Description, Return string
	Busy                      bool
}

type doctorPage struct {
	web.Page
	Asked, When string
	Refusal     *refusal
	Course      *portti.Course
}

type refusal struct {
	Reference, Endpoint, Client, Code, Description, Parameter, Cause, Nearest string
	Sent                                                                      []sent
	Registered                                                                []registered
}

type sent struct {
	Name, Value string
	Length      int
}

type registered struct {
	Name   string
	Values []string
}

type doctorDoorPage struct {
	web.Page
	SignIn string
}

type failurePage struct {
	web.Page
	Heading, Message string
	Steps            []string
}

type cardLink struct {
	Holder, Issuer, Tail, State string
	Expires, Linked, Used       time.Time
	ExpiresSoon, Permitted      bool
}

type askedCard struct {
	Holder, Issuer, Tail, Contact string
	Since, Until                  time.Time
}

func asked(w string) *askedCard {
	return &askedCard{Holder: "MEIKALAINEN MATTI" + w, Issuer: "Test CA" + w, Tail: "9f31" + w, Contact: "it@example.test" + w, Since: day, Until: day.AddDate(0, 0, 14)}
}

type cardWaitsPage struct {
	web.Page
	Asked *askedCard
}

type orderedPage struct {
	web.Page
	Can     bool
	Hours   int
	Contact string
}

type authenticator struct {
	Kind      string
	Linked    time.Time
	Permitted bool
}

type homePage struct {
	web.Page
	Name, Username, Organisation, Account, Service string
	Card                                           *cardLink
	Asked                                          *askedCard
	Authenticator                                  *authenticator
	NewPassword                                    *newPassword
	CanLinkCard, CanLinkAuthenticator              bool
}

type newPassword struct{ Asked, Ordered time.Time }

type choosePage struct {
	web.Page
	Organisation, Blocked string
	Card, App, Token      bool
	Linked                *cardLink
	Asked                 *askedCard
}

type authenticatorPage struct {
	web.Page
	App, Token, PersonalPhones          bool
	Kind, Model, Serial                 string
	OwnDevice, WorkPhone, PersonalPhone bool
}

type keyPage struct {
	web.Page
	QR           template.URL
	Key, Account string
	LinkingCode  bool
}

type linkedPage struct {
	web.Page
	Kind, Account, Service string
}

type tryPage struct {
	web.Page
	Account, Result, Service string
	Minutes                  int
	Clock                    string
	Seconds                  int
}

type linkCardPage struct {
	web.Page
	cardForm
}

type confirmCardPage struct {
	web.Page
	Username, Name, Holder, Organisation, Issuer, Kind, Tail string
	Expires                                                  time.Time
	Near, Waits, LinkingCode                                 bool
	Hidden                                                   []hidden
}

type cardLinkedPage struct {
	web.Page
	Tail, Service string
}

type passwordPage struct {
	web.Page
	Username string
	Min      int
}

type allowedService struct {
	ID, Name, Address string
	Scopes, Claims    []string
	Given             time.Time
}

type consentsPage struct {
	web.Page
	Services []allowedService
}

type plainPage struct{ web.Page }

// sample is one page to show.
type sample struct {
	name    string                         // of the template
	label   string                         // of this variant
	ids     []string                       // that must be on it (conformance.md 1)
	content func(words string) web.Content // words: what a hostile person would type everywhere
}

var day = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// samples is every page in its variants. %s-like text comes from words, so that
// the same pages serve as the target of injection.
func samples() []sample {
	verdicts := func(name, verdict string, tail string) func(string) web.Content {
		return func(w string) web.Content {
			return &cardFailedPage{Page: web.Page{Client: w}, Verdict: verdict, Tail: w + tail, cardForm: cards(w), Restart: "/signin/TX/restart", Cancel: "/signin/TX/cancel", Order: "/order", OldTLS: verdict == "handshake_broken"}
		}
	}
	list := []sample{
		{"signin/login", "both", []string{"username", "password", "login-submit", "login-cancel", "card-start"}, func(w string) web.Content {
			return &loginPage{Page: web.Page{Client: "Testipalvelu" + w}, Action: "/signin/TX", Cancel: "/signin/TX/cancel", cardForm: cards(w), Username: w, Order: "/order", Account: "PORTTI-1 TOTP-2FA", Password: true}
		}},
		{"signin/login", "wrong", []string{"username", "password", "login-submit", "login-cancel", "problems", "card-trouble", "card-outcome", "card-oldtls"}, func(w string) web.Content {
			p := &loginPage{Page: web.Page{}, Action: "/signin/TX", Cancel: "/signin/TX/cancel", cardForm: troubled(w), Username: "matti" + w, Order: "/order", Account: "PORTTI-1 TOTP-2FA" + w, Password: true, PasswordFirst: true, Again: true}
			p.Wrong(fault.New(fault.Unauthenticated, "wrong_credentials", "wrong").In("username"), fault.New(fault.Invalid, "required", "required").In("password"),
				fault.New(fault.Throttled, "throttled", "wait").After(90*time.Second))
			p.Tell(web.Info, "login.again")
			return p
		}},
		{"signin/login", "password only", []string{"username", "password", "login-submit", "login-cancel"}, func(w string) web.Content {
			return &loginPage{Action: "/signin/TX", Cancel: "/signin/TX/cancel", Username: w, Order: "/order", Account: w, Password: true}
		}},
		{"signin/code", "", []string{"code", "code-submit"}, func(w string) web.Content {
			return &codePage{Action: "/signin/TX/code", Restart: "/signin/TX/restart", Account: "PORTTI-1 TOTP-2FA" + w, AccountPrefix: "PORTTI" + w}
		}},
		{"signin/code", "wrong", []string{"code", "code-submit"}, func(w string) web.Content {
			p := &codePage{Action: "/signin/TX/code", Restart: "/signin/TX/restart", Account: "PORTTI-1 TOTP-2FA" + w, AccountPrefix: "PORTTI" + w, BeforeChange: true, Linked: true}
			p.Wrong(fault.New(fault.Invalid, "otp_clock_slow", "slow").In("code").With("n", "3"))
			return p
		}},
		{"signin/change_password", "", []string{"new", "repeat", "change-submit"}, func(w string) web.Content {
			return &changePage{Action: "/signin/TX/change", Restart: "/signin/TX/restart", Username: w, Min: 15}
		}},
		{"signin/change_password", "wrong", []string{"new", "repeat"}, func(w string) web.Content {
			p := &changePage{Action: "/signin/TX/change", Restart: "/signin/TX/restart", Username: w, Min: 15}
			p.Wrong(fault.New(fault.Invalid, "password_too_short", "short").In("new").With("n", "15"+w), fault.New(fault.Invalid, "password_mismatch", "mismatch").In("repeat"))
			return p
		}},
		{"signin/restart", "", []string{"restart", "return"}, func(w string) web.Content {
			return &returnPage{Page: web.Page{Client: "Testipalvelu" + w}, Return: "https://service.example.test/" + w}
		}},
		{"signin/logged_out", "", []string{"logged-out", "return"}, func(w string) web.Content {
			return &loggedOutPage{returnPage: returnPage{Return: "https://service.example.test/" + w}}
		}},
		{"signin/logged_out", "frames", []string{"logged-out", "next"}, func(w string) web.Content {
			return &loggedOutPage{returnPage: returnPage{Page: web.Page{Client: "Testipalvelu" + w}}, Frames: []string{"https://service.example.test/bye?sid=1" + w, w}, Next: "https://service.example.test/" + w}
		}},
		{"signin/login", "with a logo", []string{"service-policy", "service-terms"}, func(w string) web.Content {
			return &loginPage{Page: web.Page{Client: "Testipalvelu" + w}, Action: "/signin/TX", Cancel: "/signin/TX/cancel", Order: "/order", Account: "A", Password: true,
				Logo: "https://service.example.test/logo.png" + w, Policy: "https://service.example.test/policy" + w, Terms: "https://service.example.test/terms" + w}
		}},
		{"signin/consent", "all", []string{"consent-allow", "consent-deny", "service-policy", "service-terms"}, func(w string) web.Content {
			return &consentPage{Page: web.Page{Client: "Testipalvelu" + w}, Allow: "/signin/TX/consent", Deny: "/signin/TX/deny", Token: w, Person: "Matti Meikäläinen" + w, Leads: "https://service.example.test" + w,
				Logo: "https://service.example.test/logo.png" + w, Policy: "https://service.example.test/policy" + w, Terms: "https://service.example.test/terms" + w,
				Scopes: []string{"openid", "profile", "email", "address", "phone", "offline_access", "reports" + w}, Claims: []string{"birthdate", "shoe_size" + w}}
		}},
		{"signin/consent", "little", []string{"consent-allow", "consent-deny"}, func(w string) web.Content {
			return &consentPage{Page: web.Page{Client: w + "Testipalvelu"}, Allow: "/signin/TX/consent", Deny: "/signin/TX/deny", Person: w + "Matti", Scopes: []string{"openid"}}
		}},
		{"signin/device", "", []string{"user-code", "device-submit"}, func(w string) web.Content {
			p := &devicePage{Action: "/device", UserCode: w}
			p.Wrong(fault.New(fault.NotFound, "device_code_unknown", "unknown").In("user-code"))
			return p
		}},
		{"signin/device_ask", "yes or no", []string{"device-code", "device-allow", "device-deny", "service-policy"}, func(w string) web.Content {
			return &deviceAskPage{consentPage: consentPage{Page: web.Page{Client: "Testipalvelu" + w}, Allow: "/device/V/allow", Deny: "/device/V/deny", Token: "x" + w, Person: "Matti Meikäläinen" + w,
				Logo: "https://service.example.test/logo.png" + w, Policy: "https://service.example.test/policy" + w, Scopes: []string{"openid", "profile"}}, UserCode: "BCDF-GHJK", Third: true}
		}},
		{"signin/device_ask", "sign in", []string{"device-code", "device-signin", "device-deny"}, func(w string) web.Content {
			return &deviceAskPage{consentPage: consentPage{Page: web.Page{Client: w + "Testipalvelu"}, Deny: "/device/V/deny"}, SignIn: "/device/V/signin", UserCode: "BCDF-GHJK"}
		}},
		{"signin/device_asked", "yes", []string{"device-allowed"}, func(w string) web.Content {
			return &deviceAskedPage{Page: web.Page{Client: "Testipalvelu" + w}, Allowed: true}
		}},
		{"signin/device_asked", "no", []string{"device-denied"}, func(w string) web.Content { return &deviceAskedPage{} }},
		{"signin/card_test", "first", []string{"cardtest-start", "code", "cardtest-find"}, func(w string) web.Content {
			return &cardTestPage{CardStart: "/card-test", CardState: "/card-test/state", CardFailed: "/card-test/failed", Find: "/card-test/find"}
		}},
		{"signin/card_test", "broken", []string{"cardtest-start", "cardtest-failed", "cardtest-tls12", "cardtest-any", "card-trouble"}, func(w string) web.Content {
			p := &cardTestPage{CardStart: "/card-test", CardState: "/card-test/state", CardFailed: "/card-test/failed", Find: "/card-test/find", Trouble: "handshake_broken", Old: true, Any: true}
			p.Wrong(fault.New(fault.NotFound, "card_test_not_found", "unknown").In("code"))
			return p
		}},
		{"signin/card_tested", "good", []string{"card-tested", "cardtest-code", "cardtest-again"}, func(w string) web.Content {
			return &cardTestedPage{Verdict: "all_good", Code: "K7QM2-XEA3B" + w, When: "2026-08-01 12:00:00 UTC" + w, TLS: "1.3", Kind: "organisation", Mode: "strict", Again: "/card-test",
				Checks: []check{{"reached", "passed"}, {"revocation", "passed"}}}
		}},
		{"signin/card_tested", "expired", []string{"card-tested", "cardtest-code", "cardtest-again"}, func(w string) web.Content {
			return &cardTestedPage{Verdict: "expired", Code: "K7QM2-XEA3B", When: "2026-08-01 12:00:00 UTC", Mode: "tls12", Again: "/card-test",
				Checks: []check{{"reached", "passed"}, {"validity", "failed"}, {"revocation", "notmade"}}}
		}},
		{"signin/start", "", nil, func(w string) web.Content { return &startPage{Services: "https://services.example.test/" + w} }},
		{"signin/order", "", []string{"username", "order-submit", "order-phone"}, func(w string) web.Content {
			return &orderPage{Back: "/signin/TX" + w, Action: "/order", Username: w, Hours: 24}
		}},
		{"signin/order_done", "sent", []string{"order-sent", "order-phone"}, func(w string) web.Content { return &orderDonePage{Back: "/signin/TX" + w, Done: "sent"} }},
		{"signin/order_done", "ordered", []string{"order-ordered", "order-phone"}, func(w string) web.Content { return &orderDonePage{Done: "ordered", Hours: 24} }},
		{"signin/order_done", "cancelled", []string{"order-cancelled", "order-phone"}, func(w string) web.Content { return &orderDonePage{Done: "cancelled"} }},
		{"signin/order_done", "frozen", []string{"order-frozen", "order-phone"}, func(w string) web.Content { return &orderDonePage{Done: "frozen"} }},
		{"signin/order_link", "asked", []string{"confirm-submit", "cancel-submit", "order-phone"}, func(w string) web.Content {
			return &orderLinkPage{Confirm: "/order/link/X/confirm" + w, Cancel: "/order/link/X/cancel" + w}
		}},
		{"signin/order_link", "not me", []string{"freeze-submit", "order-phone"}, func(w string) web.Content { return &orderLinkPage{NotMe: true, Freeze: "/order/link/X/freeze" + w} }},
		{"signin/asked", "", []string{"asked", "asked-cancel", "asked-continue"}, func(w string) web.Content {
			return &askedPage{Page: web.Page{Client: w}, Cancel: "/signin/TX/asked" + w, Continue: "/signin/TX" + w}
		}},
		{"signin/logout_confirm", "named", []string{"logout-confirm"}, func(w string) web.Content {
			return &logoutPage{Page: web.Page{Client: w + "Testipalvelu"}, Action: "/logout", Stay: "/" + w, Hidden: []hidden{{"state", w}}}
		}},
		{"signin/logout_confirm", "all", []string{"logout-confirm"}, func(w string) web.Content { return &logoutPage{Action: "/logout"} }},
		{"signin/doctor_door", "", []string{"doctor-signin"}, func(w string) web.Content { return &doctorDoorPage{SignIn: "/doctor?signin=yes" + w} }},
		{"signin/doctor", "empty", []string{"reference", "doctor-find"}, func(w string) web.Content { return &doctorPage{Asked: w} }},
		{"signin/doctor", "in order", []string{"reference", "doctor-find", "doctor-course"}, func(w string) web.Content {
			c := aCourse(w)
			return &doctorPage{Asked: "K7QM2XEA" + w, Course: &c}
		}},
		{"signin/doctor", "found", []string{"reference", "doctor-find", "doctor-refusal", "doctor-cause", "doctor-parameter"}, func(w string) web.Content {
			return &doctorPage{Asked: "K7QM2XEA" + w, When: "2026-08-01 12:00:00 UTC", Refusal: &refusal{"K7QM2XEA" + w, "/authorize" + w, "records" + w, "invalid_request" + w, "Not registered." + w,
				"redirect_uri" + w, "address_slash", "https://records.example.test/" + w, []sent{{"redirect_uri" + w, "https://records.example.test" + w, 20}, {"state", "", 43}},
				[]registered{{"redirect_uris" + w, []string{"https://records.example.test/" + w, "https://b.example.test/"}}, {"scope", nil}}}}
		}},
		{"signin/oauth_error", "", []string{"oauth-error"}, func(w string) web.Content {
			return &oauthPage{Page: web.Page{Client: w}, Code: "invalid_request" + w, Description: "The redirect_uri is not registered for this client." + w, Return: "https://service.example.test/" + w}
		}},
		{"signin/oauth_error", "busy", []string{"oauth-error"}, func(w string) web.Content {
			return &oauthPage{Page: web.Page{Client: w}, Code: "temporarily_unavailable" + w, Description: "Too many requests." + w, Busy: true}
		}},
		{"error", "", []string{"error"}, func(w string) web.Content {
			return &failurePage{Heading: "Heading" + w, Message: "Message" + w, Steps: []string{"One" + w, "Two"}, Page: web.Page{Failed: true}}
		}},
		{"userservices/home", "linked", []string{"try", "change-password", "logout", "service"}, func(w string) web.Content {
			return &homePage{Page: web.Page{Client: "Testipalvelu" + w}, Name: "Matti Meikäläinen" + w, Username: "matti" + w, Organisation: "Esimerkkivirasto" + w, Account: "PORTTI-1 TOTP-2FA" + w, Service: "https://id.example.test/signin/TX" + w,
				Card:          &cardLink{Holder: "Matti Meikäläinen" + w, Issuer: "Test CA" + w, Tail: "9f31" + w, Expires: day, Linked: day, Used: day, State: "expired"},
				Authenticator: &authenticator{Kind: "app", Linked: day}}
		}},
		{"userservices/home", "empty", []string{"link-card", "link-authenticator", "order-cancel", "to-freeze"}, func(w string) web.Content {
			return &homePage{Name: w, Username: w, Organisation: w, CanLinkCard: true, CanLinkAuthenticator: true, Asked: asked(w), NewPassword: &newPassword{day, day}}
		}},
		{"userservices/home", "in order", []string{"try"}, func(w string) web.Content {
			return &homePage{Name: w, Username: w, Organisation: w, Account: w, Card: &cardLink{Permitted: true, Expires: day, ExpiresSoon: true, Linked: day, Holder: w}, Authenticator: &authenticator{Kind: "token", Linked: day, Permitted: true}}
		}},
		{"userservices/choose", "all", []string{"link-card", "link-authenticator"}, func(w string) web.Content {
			return &choosePage{Page: web.Page{Client: "Testipalvelu" + w}, Organisation: "Esimerkkivirasto" + w, Card: true, App: true, Token: true}
		}},
		{"userservices/choose", "card", []string{"link-card"}, func(w string) web.Content { return &choosePage{Organisation: w, Card: true} }},
		{"userservices/choose", "app", []string{"link-authenticator"}, func(w string) web.Content { return &choosePage{Organisation: w, App: true} }},
		{"userservices/choose", "token", []string{"link-authenticator"}, func(w string) web.Content { return &choosePage{Organisation: w, Token: true} }},
		{"userservices/choose", "blocked", []string{"blocked", "card-state"}, func(w string) web.Content {
			return &choosePage{Organisation: w, Blocked: "link_closed", Linked: &cardLink{State: "revoked", Expires: day}}
		}},
		{"userservices/choose", "asked", []string{"asked", "link-card"}, func(w string) web.Content {
			return &choosePage{Organisation: w, Card: true, Asked: asked(w)}
		}},
		{"userservices/authenticator", "work phones", []string{"kind-app", "kind-token", "own_device", "work_phone", "model", "serial", "authenticator-start"}, func(w string) web.Content {
			p := &authenticatorPage{App: true, Token: true, Model: w, Serial: w}
			p.Wrong(fault.New(fault.Invalid, "kind_required", "kind").In("kind"), fault.New(fault.Invalid, "own_device_required", "own").In("own_device"), fault.New(fault.Invalid, "work_phone_required", "work").In("work_phone"))
			return p
		}},
		{"userservices/authenticator", "personal phones", []string{"kind-app", "own_device", "personal_phone"}, func(w string) web.Content {
			return &authenticatorPage{App: true, PersonalPhones: true, OwnDevice: true, PersonalPhone: true}
		}},
		{"userservices/authenticator", "token", []string{"kind-token", "own_device"}, func(w string) web.Content {
			return &authenticatorPage{Token: true, Kind: "token", Model: w}
		}},
		{"userservices/authenticator_key", "", []string{"qr", "key", "code", "code-submit"}, func(w string) web.Content {
			return &keyPage{QR: qr, Key: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP" + w, Account: "PORTTI-1 TOTP-2FA" + w}
		}},
		{"userservices/authenticator_key", "linking code", []string{"linking_code", "code", "code-submit"}, func(w string) web.Content {
			p := &keyPage{Account: w, LinkingCode: true}
			p.Wrong(fault.New(fault.Invalid, "linking_code_wrong", "wrong").In("linking_code"))
			return p
		}},
		{"userservices/authenticator_key", "again", []string{"code", "again"}, func(w string) web.Content {
			p := &keyPage{Account: w}
			p.Wrong(fault.New(fault.Invalid, "otp_wrong", "wrong").In("code"))
			return p
		}},
		{"userservices/authenticator_linked", "app", []string{"linked", "try", "service"}, func(w string) web.Content {
			return &linkedPage{Page: web.Page{Client: "Testipalvelu" + w}, Kind: "app", Account: "PORTTI-1 TOTP-2FA" + w, Service: "https://id.example.test/signin/TX" + w}
		}},
		{"userservices/authenticator_linked", "token", []string{"linked", "try"}, func(w string) web.Content { return &linkedPage{Kind: "token", Account: w} }},
		{"userservices/card", "", []string{"card-start"}, func(w string) web.Content { return &linkCardPage{cardForm: cards(w)} }},
		{"userservices/card", "interrupted", []string{"card-start", "card-trouble", "card-outcome", "card-oldtls"}, func(w string) web.Content { return &linkCardPage{cardForm: troubled(w)} }},
		{"userservices/card_confirm", "", []string{"card-confirm", "card-again", "tail", "holder"}, func(w string) web.Content {
			return &confirmCardPage{Username: "matti" + w, Name: "Matti" + w, Kind: "organisation", Near: true, Waits: true, Holder: "Matti Meikäläinen" + w, Organisation: "Esimerkkivirasto" + w, Issuer: "Test CA" + w, Tail: "9f31" + w, Expires: day, Hidden: []hidden{{"fingerprint", w}}}
		}},
		{"userservices/card_confirm", "linking code", []string{"card-confirm", "linking_code"}, func(w string) web.Content {
			p := &confirmCardPage{Username: "matti" + w, Holder: "Matti Meikäläinen" + w, Issuer: "Test CA" + w, Tail: "9f31" + w, Expires: day, LinkingCode: true}
			p.Wrong(fault.New(fault.Invalid, "linking_code_wrong", "wrong").In("linking_code"))
			return p
		}},
		{"userservices/card_waits", "", []string{"waits", "card-again"}, func(w string) web.Content { return &cardWaitsPage{Asked: asked(w)} }},
		{"userservices/order", "", []string{"order", "order-submit"}, func(w string) web.Content { return &orderedPage{Can: true, Hours: 24, Contact: w} }},
		{"userservices/order", "ask", []string{"order", "order-ask"}, func(w string) web.Content { return &orderedPage{Contact: w} }},
		{"userservices/freeze", "", []string{"freeze", "freeze-submit"}, func(w string) web.Content { return &plainPage{} }},
		{"userservices/frozen", "", []string{"frozen"}, func(w string) web.Content { return &plainPage{} }},
		{"userservices/ordered", "", []string{"ordered"}, func(w string) web.Content { return &plainPage{} }},
		{"userservices/home", "warned", []string{"session-warning", "session-continue", "session-logout"}, func(w string) web.Content {
			p := &homePage{Name: w, Username: w, Organisation: w}
			p.EndsAfter(15 * time.Minute)
			return p
		}},
		{"userservices/card_linked", "", []string{"linked", "service"}, func(w string) web.Content {
			return &cardLinkedPage{Page: web.Page{Client: "Testipalvelu" + w}, Tail: "9f31" + w, Service: "https://id.example.test/signin/TX" + w}
		}},
		{"userservices/password", "", []string{"current", "new", "repeat", "change-submit"}, func(w string) web.Content {
			p := &passwordPage{Username: w, Min: 15}
			p.Wrong(fault.New(fault.Invalid, "current_password_wrong", "wrong").In("current"))
			p.Tell(web.Success, "pw.changed")
			p.Tell(web.Warning, "order.warn")
			return p
		}},
		{"userservices/password_changed", "", []string{"changed"}, func(string) web.Content { return &plainPage{} }},
		{"userservices/consents", "two", []string{"consents", "withdraw-a", "withdraw-b"}, func(w string) web.Content {
			p := &consentsPage{Services: []allowedService{
				{ID: "a", Name: "Testipalvelu" + w, Address: "https://service.example.test/" + w, Scopes: []string{"openid", "profile", w + "x"}, Claims: []string{"birthdate", w + "y"}, Given: day},
				{ID: "b", Name: w + "Toinen", Scopes: []string{"openid"}, Given: day}}}
			p.Tell(web.Success, "us.consents.withdrawn")
			return p
		}},
		{"userservices/consents", "none", []string{"consents"}, func(string) web.Content { return &consentsPage{} }},
		{"userservices/signed_out", "", []string{"logged-out"}, func(string) web.Content { return &plainPage{} }},
	}
	list = append(list, consoleSamples()...)
	list = append(list, peopleSamples()...)
	list = append(list, importSamples()...)
	list = append(list, deskSamples()...)
	list = append(list, secondSamples()...)
	list = append(list, auditSamples()...)
	list = append(list, organisationSamples()...)
	for _, reason := range []string{"", "account", "stepup", "linked"} {
		list = append(list, sample{"signin/card", reason, []string{"card-start", "login-cancel"}, func(w string) web.Content {
			return &cardPage{cardForm: troubled(w), Restart: "/signin/TX/restart" + w, Cancel: "/signin/TX/cancel" + w, Order: "/order" + w, Reason: reason}
		}})
	}
	for _, result := range []string{"", "ok", "used", "old", "fast", "slow"} {
		list = append(list, sample{"userservices/try", result, []string{"code", "code-submit"}, func(w string) web.Content {
			return &tryPage{Page: web.Page{Client: "Testipalvelu"}, Account: "PORTTI-1 TOTP-2FA" + w, Result: result, Minutes: 4, Service: "https://id.example.test/signin/TX" + w}
		}})
	}
	for _, clock := range []string{"right", "fast", "slow"} {
		list = append(list, sample{"userservices/try", "clock " + clock, []string{"code", "clock"}, func(w string) web.Content {
			return &tryPage{Account: "PORTTI-1 TOTP-2FA" + w, Result: "ok", Clock: clock, Seconds: 40}
		}})
	}
	for _, verdict := range failures {
		for _, name := range []string{"signin/card_failed", "userservices/card_failed"} {
			list = append(list, sample{name, verdict, []string{"card-failed", "card-start"}, verdicts(name, verdict, "9f31")})
		}
	}
	return list
}

// failures is what may become of a card: card.Verdicts, which package card owns,
// and the outcomes of sign-in around them (behaviour.md, "Card verdicts").
var failures = []string{
	"all_good", "no_certificate", "weak_or_malformed", "untrusted_issuer", "not_yet_valid", "expired", "signature_certificate_chosen", "card_kind_not_accepted", "revoked", "suspended", "revocation_unavailable",
	"handshake_broken", "never_reached", "card_not_linked", "other_card_linked", "card_link_removed_by_order", "account_disabled", "account_frozen", "method_not_permitted_by_employer", "card_ticket_spent",
}

// qr is a picture of one dot: package totp makes the real one.
const qr template.URL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
