package signin

import (
	"testing"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
)

func TestTemplatesFitTheirStructs(t *testing.T) {
	webtest.TypeCheck(t, webtest.NewSite(t), map[string]web.Content{
		"signin/login": &loginPage{}, "signin/code": &codePage{}, "signin/change_password": &changePage{}, "signin/card": &cardPage{},
		"signin/card_failed": &cardFailedPage{}, "signin/restart": &restartPage{}, "signin/order": &orderPage{}, "signin/order_done": &orderDonePage{}, "signin/order_link": &orderLinkPage{}, "signin/asked": &askedPage{}, "signin/consent": &consentPage{}, "signin/device": &devicePage{}, "signin/device_ask": &deviceAskPage{}, "signin/device_asked": &deviceAskedPage{}, "signin/start": &startPage{},
		"signin/doctor": &doctorPage{}, "signin/doctor_door": &doctorDoorPage{},
		"signin/card_test": &cardTestPage{}, "signin/card_tested": &cardTestedPage{}, "signin/oauth_error": &oauthPage{}, "signin/logout_confirm": &logoutPage{}, "signin/logged_out": &loggedOutPage{},
	})
}
