package console

import (
	"context"
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const keysPath = "/keys"

type keysPage struct {
	web.Page
	Kinds []keyKindRow
}

type keyKindRow struct {
	portti.KeyKind
	May      bool // change them
	Prepared bool // there is a next key
	Promote  bool // it has been published for long enough
}

func (p *Pages) rowOfKind(v *visit, k portti.KeyKind) keyKindRow {
	row := keyKindRow{KeyKind: k, May: v.may("keys.change"), Prepared: !k.Ready.IsZero()}
	row.Promote = row.Prepared && !p.now().Before(k.Ready)
	return row
}

// keys lists the signing keys.
func (p *Pages) keys(w http.ResponseWriter, r *http.Request, v *visit) error {
	all, err := p.api.SigningKeys(r.Context(), v.token)
	if err != nil {
		return refused(err)
	}
	page := &keysPage{}
	for _, k := range all.Kinds {
		page.Kinds = append(page.Kinds, p.rowOfKind(v, k))
	}
	tellDone(r, &page.Page, "keys", "prepare", "promote", "retire")
	return p.show(w, r, http.StatusOK, "keys", page)
}

type keyChangePage struct {
	web.Page
	Kind string
	Do   string // prepare, promote, retire
}

// keyMove is what can be done with the keys of a kind.
func (p *Pages) keyMove(do string) (func(ctx context.Context, token, kind string) (portti.KeyKind, error), error) {
	switch do {
	case "prepare":
		return p.api.PrepareKey, nil
	case "promote":
		return p.api.PromoteKey, nil
	case "retire":
		return p.api.RetireKeys, nil
	}
	return nil, fault.New(fault.NotFound, "page_not_found", "There is no such page.")
}

// keyChange says what will happen.
func (p *Pages) keyChange(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("keys.change"); err != nil {
		return err
	}
	page := &keyChangePage{Kind: r.FormValue("kind"), Do: r.FormValue("do")}
	if _, err := p.keyMove(page.Do); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "key_change", page)
}

func (p *Pages) keyChanged(w http.ResponseWriter, r *http.Request, v *visit) error {
	page := &keyChangePage{Kind: r.PostFormValue("kind"), Do: r.PostFormValue("do")}
	move, err := p.keyMove(page.Do)
	if err != nil {
		return err
	}
	if _, err := move(r.Context(), v.token, page.Kind); err != nil {
		return p.again(w, r, "key_change", &page.Page, page, refused(err))
	}
	return see(w, r, keysPath+"?done="+page.Do)
}
