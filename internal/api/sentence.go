package api

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/templates"
)

// An event as a sentence, for people who read the trail: "Reetta Vastuu closed the
// account of Anna Virtanen: left the employer, ticket 123". Programs read the codes.
//
//	trail.says.TYPE            what happened; {actor}, {user}, {organisation}, {client}, {method}
//	trail.says.TYPE.self       where whoever did it is whom it happened to
//	trail.says.TYPE.nobody     where it is not known to whom
//	con.reason.CODE, note, trail.ticket     and why

// teller tells events to one reader, with the names that this one may see.
type teller struct {
	api                    *API
	by                     identity.Actor
	lang                   string
	people                 map[identity.UserID]string
	organisations, clients map[string]string
}

// teller reads the language that is asked for; English where none is.
func (a *API) teller(by identity.Actor, lang string) (*teller, error) {
	switch {
	case lang == "":
		lang = "en"
	case !slices.Contains(templates.Languages, lang):
		return nil, fault.New(fault.Invalid, "query_invalid", "lang: it is one of %s.", strings.Join(templates.Languages, ", ")).In("lang")
	}
	return &teller{api: a, by: by, lang: lang, people: map[identity.UserID]string{}, organisations: map[string]string{}, clients: map[string]string{}}, nil
}

// meet learns the names that a page of events needs.
func (t *teller) meet(ctx context.Context, entries []audit.Entry) error {
	names, err := t.api.Directory.Named(ctx, t.by, entries)
	if err != nil {
		return err
	}
	t.people = names
	for _, e := range entries {
		if err := learn(t.organisations, e.Organisation, func(id string) (string, error) {
			o, err := t.api.Directory.Store.Organisation(ctx, identity.OrganisationID(id))
			return o.Name, err
		}); err != nil {
			return err
		}
		if err := learn(t.clients, e.Client, func(id string) (string, error) {
			c, err := t.api.Registered.Client(ctx, id)
			for _, lang := range append([]string{t.lang}, templates.Languages...) {
				if c.Name[lang] != "" {
					return c.Name[lang], err
				}
			}
			return "", err
		}); err != nil {
			return err
		}
	}
	return nil
}

// learn looks a name up once; what has none, or is gone, goes by its ID.
func learn(names map[string]string, id string, look func(id string) (string, error)) error {
	if _, known := names[id]; known || id == "" {
		return nil
	}
	name, err := look(id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if names[id] = name; name == "" {
		names[id] = id
	}
	return nil
}

// tell is the sentence. An event of a type that the program does not know any more
// is told by its codes.
func (t *teller) tell(e audit.Event) string {
	key := t.key(e)
	if key == "" {
		return strings.Join(slices.DeleteFunc([]string{string(e.Type), t.why(e)}, empty), ": ")
	}
	said := t.text(key, "actor", t.actor(e.Actor), "user", t.person(identity.UserID(e.User)), "organisation", t.named(t.organisations, e.Organisation, "trail.all"),
		"client", t.named(t.clients, e.Client, "trail.none"), "method", t.word("con.method.", e.Method))
	return strings.Join(slices.DeleteFunc([]string{withFirst(said, unicode.ToUpper), t.why(e)}, empty), ": ")
}

// key is the text of an event, "" when there is none.
func (t *teller) key(e audit.Event) string {
	key := "trail.says." + string(e.Type)
	self := e.User != "" && e.Actor == "user:"+e.User || e.User == "" && e.Client != "" && e.Actor == "client:"+e.Client
	switch {
	case self && t.api.Texts.Has(key+".self"):
		return key + ".self"
	case e.User == "" && t.api.Texts.Has(key+".nobody"):
		return key + ".nobody"
	case t.api.Texts.Has(key):
		return key
	}
	return ""
}

// why is what is known of the cause: the reason's code in words, what staff have
// typed, and the ticket.
func (t *teller) why(e audit.Event) string {
	parts := []string{e.Reason, e.Details[audit.Note], ""}
	if _, known := audit.Reasons[e.Reason]; known { // what staff had typed long ago stands there, too
		parts[0] = t.word("con.reason.", e.Reason)
	}
	if ticket := e.Details["ticket"]; ticket != "" {
		parts[2] = t.text("trail.ticket", "n", ticket)
	}
	return strings.Join(slices.DeleteFunc(parts, empty), ", ")
}

// actor is who did it. An event of a sign-in under a name that nobody has is from
// somebody who is not signed in, and so were those that say "user:" of nobody.
func (t *teller) actor(actor string) string {
	kind, id, _ := strings.Cut(actor, ":")
	switch {
	case kind == "anybody", kind == "user" && id == "":
		return t.text("trail.actor.anybody")
	case kind == "user":
		return t.person(identity.UserID(id))
	case kind == "client":
		return t.text("trail.actor.client", "id", t.named(t.clients, id, "trail.none"))
	case kind == "operator":
		return t.text("trail.actor.operator", "id", id)
	case kind == "letter", kind == "system":
		return t.text("trail.actor." + kind)
	}
	return t.text("trail.actor.unknown")
}

func (t *teller) person(id identity.UserID) string {
	switch name := t.people[id]; {
	case id == "":
		return t.text("trail.actor.unknown")
	case name != "":
		return name
	}
	return t.text("trail.actor.person", "id", string(id)) // out of the reader's reach
}

// named is a name, or the text of a key when there is nobody to name.
func (t *teller) named(names map[string]string, id, otherwise string) string {
	switch name := names[id]; {
	case id == "":
		return t.text(otherwise)
	case name != "":
		return name
	}
	return id
}

// word is a code in words as they stand in a sentence.
func (t *teller) word(family, code string) string {
	switch {
	case code == "":
		return t.text("trail.none")
	case !t.api.Texts.Has(family + code):
		return code
	}
	return withFirst(t.text(family+code), unicode.ToLower)
}

func (t *teller) text(key string, pairs ...string) string {
	return t.api.Texts.Text(t.lang, key, pairs...)
}

func withFirst(s string, change func(rune) rune) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(change(first)) + s[size:]
}

func empty(s string) bool { return s == "" }
