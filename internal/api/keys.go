package api

import (
	"context"
	"net/http"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/pkg/portti"
)

// keyOperations are on the keys that sign.
func (a *API) keyOperations() []operation {
	return []operation{
		managed(a, "GET /api/v1/keys", identity.KeysSee, "The signing keys by kind, and what becomes of them", a.signingKeys),
		managed(a, "POST /api/v1/keys/{kind}/prepare", identity.KeysChange, "Publish the next key of a kind; it does not sign yet", a.prepareKey),
		managed(a, "POST /api/v1/keys/{kind}/promote", identity.KeysChange, "Let the next key of a kind sign, and retire the current one", a.promoteKey),
		managed(a, "POST /api/v1/keys/{kind}/retire", identity.KeysChange, "Drop the retired keys of a kind whose last token has expired", a.retireKeys),
	}
}

// Keys are the provider's signing keys: keys.Ring.
type Keys interface {
	Kinds() []keys.Kind
	List() []keys.Stored // without what is sealed
	Outlook(kind keys.Kind) keys.Outlook
	Prepare(ctx context.Context, kind keys.Kind) (string, error)
	Promote(ctx context.Context, kind keys.Kind) error
	Retire(ctx context.Context, kind keys.Kind) (int, error)
}

func (a *API) signingKeys(*http.Request, identity.Actor, nothing) (answer[portti.SigningKeys], error) {
	all := portti.SigningKeys{Kinds: []portti.KeyKind{}}
	for _, kind := range a.Keys.Kinds() {
		all.Kinds = append(all.Kinds, a.keyKind(kind))
	}
	return answer[portti.SigningKeys]{Body: all}, nil
}

func (a *API) keyKind(kind keys.Kind) portti.KeyKind {
	o := a.Keys.Outlook(kind)
	v := portti.KeyKind{Kind: string(kind), Scheduled: o.Scheduled, Prepares: o.Prepares, Promotes: o.Promotes, Ready: o.Ready, Keys: []portti.SigningKey{}}
	for _, k := range a.Keys.List() {
		if k.Kind != kind {
			continue
		}
		drops := o.Drops[k.ID]
		v.Keys = append(v.Keys, portti.SigningKey{ID: k.ID, State: string(k.State), Created: k.Created, Since: k.Moved, Drops: drops})
		v.Droppable = v.Droppable || !drops.IsZero() && !a.Now().Before(drops)
	}
	return v
}

func (a *API) prepareKey(r *http.Request, by identity.Actor, _ nothing) (answer[portti.KeyKind], error) {
	return a.moveKey(r, by, func(ctx context.Context, kind keys.Kind) error {
		_, err := a.Keys.Prepare(ctx, kind)
		return err
	})
}

func (a *API) promoteKey(r *http.Request, by identity.Actor, _ nothing) (answer[portti.KeyKind], error) {
	return a.moveKey(r, by, a.Keys.Promote)
}

func (a *API) retireKeys(r *http.Request, by identity.Actor, _ nothing) (answer[portti.KeyKind], error) {
	return a.moveKey(r, by, func(ctx context.Context, kind keys.Kind) error {
		_, err := a.Keys.Retire(ctx, kind)
		return err
	})
}

func (a *API) moveKey(r *http.Request, by identity.Actor, move func(ctx context.Context, kind keys.Kind) error) (answer[portti.KeyKind], error) {
	kind := keys.Kind(r.PathValue("kind"))
	if err := move(keys.By(r.Context(), by.Name, by.Address), kind); err != nil {
		return answer[portti.KeyKind]{}, err
	}
	return answer[portti.KeyKind]{Body: a.keyKind(kind)}, nil
}
