package dpop

import "testing"

func TestEqualURLsAreEqualStrings(t *testing.T) {
	const want = "https://server.example.com/token"
	for _, raw := range []string{
		want,
		"HTTPS://Server.EXAMPLE.com/token",
		"https://server.example.com:443/token",
		"https://server.example.com:/token",
		"https://server.example.com/token?grant=1&x=%zz",
		"https://server.example.com/token#part",
		"https://server.example.com/token?#",
		"https://server.example.com/%74%6f%6Ben",
		"https://server.example.com/./a/../token",
		"https://server.example.com/../../token",
		"https://server.example.com/a/%2e%2E/token",
	} {
		if got, ok := canonical(raw); got != want || !ok {
			t.Errorf("%s: %s, %v", raw, got, ok)
		}
	}
}

func TestCanonicalForms(t *testing.T) {
	for raw, want := range map[string]string{
		"http://h":                     "http://h/",
		"http://h:80?q":                "http://h/",
		"http://h:443/":                "http://h:443/",
		"https://h:80/":                "https://h:80/",
		"http://127.0.0.1:8080/x":      "http://127.0.0.1:8080/x",
		"https://[::1]:443/":           "https://[::1]/",
		"https://[0:0::0:1]/":          "https://[::1]/",
		"https://[::1]:9443/x":         "https://[::1]:9443/x",
		"https://h/a%2fb":              "https://h/a%2Fb",
		"https://h/a%252e%2d%7E%c3%84": "https://h/a%252e-~%C3%84",
		"https://h/a/b/..":             "https://h/a/",
		"https://h/a/.":                "https://h/a/",
		"https://h/..":                 "https://h/",
		"https://h//a//../b/":          "https://h//a/b/",
		"https://h/Token":              "https://h/Token",
		"https://h/a...b/...":          "https://h/a...b/...",
	} {
		if got, ok := canonical(raw); got != want || !ok {
			t.Errorf("%s: %s, %v, want %s", raw, got, ok, want)
		}
	}
}

func TestDifferentURLsStayDifferent(t *testing.T) {
	first, ok := canonical("https://h/token")
	if !ok {
		t.Fatal("no URL")
	}
	for _, raw := range []string{"http://h/token", "https://h:444/token", "https://h/token/", "https://h/Token", "https://h/%2Ftoken", "https://h//token", "https://h./token",
		"https://i/token", "https://h/token%20", "https://h/token;v=1", "https://h/token%3Fa"} {
		if got, ok := canonical(raw); got == first || !ok {
			t.Errorf("%s: %s, %v", raw, got, ok)
		}
	}
}

func TestNoURL(t *testing.T) {
	for _, raw := range []string{"", "/token", "h/token", "//h/token", "https:/h/token", "https:h", "ftp://h/", "https://", "https:///token", "https://:443/", "https://u@h/", "https://u:p@h/",
		"https://h:port/", "https://h:44:3/", "https://h:-1/", "https://[::1/", "https://[::1]x/", "https://[fe80::1%25eth0]/", "https://[127.0.0.1]/", "https://[]/", "https://h%2e/", "https://h\\x/",
		"https://ä.fi/", "https://h/ä", "https://h/ ", "https://h/\n", "https://h/\x7f", "https://h/%", "https://h/%4", "https://h/%4g", "https://h/%%41", " https://h/"} {
		if got, ok := canonical(raw); ok {
			t.Errorf("%q: %s", raw, got)
		}
	}
}

// Whatever comes in, the canonical form is its own, so that two replicas or two
// rounds never disagree.
func FuzzCanonical(f *testing.F) {
	for _, raw := range []string{"https://server.example.com/token", "HTTP://[0::1]:80/a/../%2e%2E/%c3?x#y", "https://h/%252e%252e/..", "https://h:/", "https://h/a//.."} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		once, ok := canonical(raw)
		if !ok {
			return
		}
		if twice, ok := canonical(once); twice != once || !ok {
			t.Errorf("%q: %q, then %q %v", raw, once, twice, ok)
		}
	})
}
