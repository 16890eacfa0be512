package keys

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

func (s *shelf) KeepSecret(_ context.Context, name, sealed string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return "", s.down
	}
	if s.secrets == nil {
		s.secrets = make(map[string]string)
	}
	if s.secrets[name] == "" {
		s.secrets[name] = sealed
	}
	return s.secrets[name], nil
}

func TestASecretIsMadeOnce(t *testing.T) {
	store, m := &shelf{}, master(t)
	open := func(name string) []byte {
		t.Helper()
		b, err := OpenSecret(t.Context(), store, m, name)
		if err != nil || len(b) != 32 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		return b
	}
	first := open("pairwise-subjects")
	if again := open("pairwise-subjects"); !bytes.Equal(first, again) {
		t.Error("it changed")
	}
	if bytes.Equal(first, open("something-else")) {
		t.Error("two names share a secret")
	}
	if strings.Contains(store.secrets["pairwise-subjects"], string(first)) {
		t.Error("it is stored in clear")
	}
}

func TestASecretThatCannotBeOpenedIsNotMadeAnew(t *testing.T) {
	store, m := &shelf{}, master(t)
	if _, err := OpenSecret(t.Context(), store, m, "a"); err != nil {
		t.Fatal(err)
	}
	was := store.secrets["a"]
	if b, err := OpenSecret(t.Context(), store, master(t), "a"); err == nil {
		t.Errorf("another master key opened %d bytes", len(b))
	}
	store.secrets["b"] = was
	if b, err := OpenSecret(t.Context(), store, m, "b"); err == nil {
		t.Errorf("the secret of another name: %d bytes", len(b))
	}
	store.secrets["c"], _ = m.Seal([]byte("short"), secretAAD("c"))
	if b, err := OpenSecret(t.Context(), store, m, "c"); err == nil {
		t.Errorf("a secret of %d bytes", len(b))
	}
	if store.secrets["a"] != was {
		t.Error("what was stored was overwritten")
	}
	store.down = errors.New("down")
	if _, err := OpenSecret(t.Context(), store, m, "a"); !errors.Is(err, store.down) {
		t.Errorf("without SQL: %v", err)
	}
}
