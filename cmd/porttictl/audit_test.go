package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/storetest"
)

// An export is checked where there is neither settings nor a database, and a
// database that was tampered with is found out.
func TestTheTrailIsExportedAndVerified(t *testing.T) {
	for _, driver := range storetest.Drivers {
		t.Run(driver, func(t *testing.T) {
			k := newKit(t, driver)
			k.seed()
			k.ok("organisation", "create", "toinen", "--name", "Toinen", "--methods", "card", "--apply")
			file := func(name string) string { return filepath.Join(k.folder(), name) }
			k.file("audit.key", k.ok("audit", "key"))
			k.file("kept.jsonl", k.ok("audit", "checkpoint"))
			k.ok("audit", "export", "--organisation", "kuntala", "--file", file("kuntala.jsonl"))
			text, err := os.ReadFile(file("kuntala.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), `"organisation.created"`) || strings.Contains(string(text), `"toinen"`) || !strings.Contains(string(text), string(audit.TrailExported)) {
				t.Errorf("the export is %s", text)
			}
			offline := func(args ...string) (string, string, int) {
				var o, e strings.Builder
				code := run(t.Context(), append([]string{"--config", "/nowhere/portti.yaml", "audit", "verify", "--json"}, args...), &o, &e)
				return o.String(), e.String(), code
			}
			if out, errs, code := offline(file("kuntala.jsonl"), "--key", file("audit.key"), "--checkpoints", file("kept.jsonl")); code != 0 || !strings.Contains(out, `"sound": true`) {
				t.Errorf("%d %s %s", code, out, errs)
			}
			if _, errs, code := offline(file("kuntala.jsonl")); code != exitInvalid || !strings.Contains(errs, "--key") {
				t.Errorf("without a key: %d %s", code, errs)
			}
			k.file("changed.jsonl", strings.Replace(string(text), `"actor":"operator:tester"`, `"actor":"operator:nobody"`, 1))
			if out, errs, code := offline(file("changed.jsonl"), "--key", file("audit.key")); code != exitFailed || !strings.Contains(out, "link_broken") || !strings.Contains(errs, "not sound") {
				t.Errorf("a changed file: %d %s %s", code, out, errs)
			}
			if out := k.ok("audit", "verify", "--database", "--checkpoints", file("kept.jsonl")); !strings.Contains(out, "sound: true") {
				t.Error(out)
			}
			if out, _, code := k.run("audit", "verify", "--database", "--key", file("kept.jsonl")); code != exitInvalid {
				t.Errorf("a wrong key file: %d %s", code, out)
			}
			// The other half of the evidence is elsewhere: the database was put back.
			later := newKit(t, driver)
			later.ok("audit", "checkpoint")
			if out, _, code := later.run("audit", "verify", "--database", "--key", file("audit.key"), "--checkpoints", file("kept.jsonl")); code != exitFailed || !strings.Contains(out, "older_than_known") {
				t.Errorf("%d %s", code, out)
			}
		})
	}
}
