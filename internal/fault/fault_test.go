package fault

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestFaultIsFoundInItsChain(t *testing.T) {
	err := fmt.Errorf("save: %w", New(Conflict, "username_taken", "%s is taken.", "liisa"))
	f, ok := Of(err)
	if !ok || f.Message != "liisa is taken." || !Is(err, Conflict) || Is(err, Denied) || Code(err) != "username_taken" {
		t.Errorf("%+v, %v", f, ok)
	}
	if other := errors.New("disk full"); Is(other, Conflict) || Code(other) != "" || Code(nil) != "" {
		t.Error("an error of ours was taken for a person's fault")
	}
}

// A fault is a shared value: saying more of it must not change it for others.
func TestSayingMoreMakesACopy(t *testing.T) {
	shared := New(Throttled, "throttled", "Too many.")
	one := shared.In("password").With("n", "3").After(time.Minute)
	two := one.With("n", "4")
	if shared.Field != "" || shared.Args != nil || shared.RetryAfter != 0 {
		t.Errorf("the shared fault changed: %+v", shared)
	}
	if one.Args["n"] != "3" || two.Args["n"] != "4" || two.Field != "password" || two.RetryAfter != time.Minute {
		t.Errorf("%+v, %+v", one, two)
	}
}
