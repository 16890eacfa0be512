package totp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	ptotp "github.com/pquerna/otp/totp"
)

var rfcKey = []byte("12345678901234567890")

func at(step int64) time.Time { return time.Unix(step*30+12, 0) }

func code(t *testing.T, key []byte, step int64) string {
	t.Helper()
	c, err := Code(key, step)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// RFC 6238 Appendix B, SHA-1; the last six of its eight digits.
func TestCodesOfRFC6238(t *testing.T) {
	for seconds, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		now := time.Unix(seconds, 0)
		if got := code(t, rfcKey, Step(now)); got != want {
			t.Errorf("%d: %s, want %s", seconds, got, want)
		}
		if step, ok := Match(rfcKey, want, now, 0, 0); !ok || step != seconds/30 {
			t.Errorf("%d: Match = %d, %v", seconds, step, ok)
		}
	}
}

func TestStepFloors(t *testing.T) {
	for seconds, want := range map[int64]int64{0: 0, 29: 0, 30: 1, -1: -1, -30: -1, -31: -2} {
		if got := Step(time.Unix(seconds, 0)); got != want {
			t.Errorf("Step(%d) = %d, want %d", seconds, got, want)
		}
	}
}

func TestWindow(t *testing.T) { // S45
	key, centre := NewKey(), int64(59_000_000)
	for _, drift := range []int64{0, 3, -7, 20, -20} { // steps
		for offset := int64(-40); offset <= 40; offset++ {
			c := code(t, key, centre+offset)
			near := offset-drift >= -1 && offset-drift <= 1
			step, ok := Match(key, c, at(centre), drift*30, Window)
			if ok != near || (ok && step != centre+offset) {
				t.Errorf("drift %d, offset %d: step %d, %v", drift, offset, step-centre, ok)
			}
			if _, ok := Match(key, c, at(centre), drift*30, 0); ok != (offset == drift) {
				t.Errorf("drift %d, offset %d, window 0: %v", drift, offset, ok)
			}
		}
	}
}

func TestWindowAndDriftCannotBeWidened(t *testing.T) { // S45: never wider at sign-in
	key, centre := NewKey(), int64(59_000_000)
	if _, ok := Match(key, code(t, key, centre+2), at(centre), 0, 100); ok {
		t.Error("a wide window was taken")
	}
	if _, ok := Match(key, code(t, key, centre), at(centre), 0, -5); !ok {
		t.Error("a negative window is not window 0")
	}
	if _, ok := Match(key, code(t, key, centre+500), at(centre), 500*30, 1); ok {
		t.Error("a stored drift beyond the bound was taken")
	}
}

func TestWrongCodesDoNotMatch(t *testing.T) {
	key, centre := NewKey(), int64(59_000_000)
	right := map[string]bool{}
	for d := int64(-1); d <= 1; d++ {
		right[code(t, key, centre+d)] = true
	}
	accepted := 0
	for n := range 100_000 {
		c := fmt.Sprintf("%06d", n*10+7)
		if _, ok := Match(key, c, at(centre), 0, 1); ok {
			accepted++
			if !right[c] {
				t.Fatalf("%s accepted", c)
			}
		}
	}
	for _, c := range []string{"", "      ", "12345", "1234567", code(t, key, centre) + "0", "٠١٢٣٤٥", "12345a", "-12345", "0x1234", strings.Repeat(" ", 100) + code(t, key, centre)} {
		if _, ok := Match(key, c, at(centre), 0, 1); ok {
			t.Errorf("%q accepted", c)
		}
	}
	if _, ok := Match(nil, code(t, rfcKey, centre), at(centre), 0, 1); ok {
		t.Error("an empty key matches")
	}
	if _, ok := Match(make([]byte, 10), code(t, make([]byte, 10), centre), at(centre), 0, 1); ok {
		t.Error("a short key matches")
	}
}

// Two steps of a window may have one code: the later must be spent.
func TestLaterOfTwoEqualCodes(t *testing.T) { // S44
	for step := int64(1_000_000); step < 4_000_000; step++ {
		if code(t, rfcKey, step) != code(t, rfcKey, step+1) {
			continue
		}
		if got, ok := Match(rfcKey, code(t, rfcKey, step), at(step), 0, 1); !ok || got != step+1 {
			t.Errorf("step %d, %v; want %d", got, ok, step+1)
		}
		return
	}
	t.Fatal("no equal neighbours in three million steps")
}

func TestMatchAgreesWithTheLibrary(t *testing.T) {
	for range 200 {
		key, now := NewKey(), time.Unix(rand.Int64N(1<<33), 0)
		c, err := ptotp.GenerateCodeCustom(encoding.EncodeToString(key), now, ptotp.ValidateOpts{Period: 30, Digits: otp.DigitsSix})
		if err != nil {
			t.Fatal(err)
		}
		if step, ok := Match(key, c, now, 0, 1); !ok || step < Step(now) {
			t.Errorf("%s at %s: %d, %v", c, now, step, ok)
		}
	}
}

func TestKeysAreUnique(t *testing.T) { // S42
	seen := map[string]bool{}
	for range 1000 {
		key := string(NewKey())
		if len(key) != KeySize || seen[key] {
			t.Fatal("a key came twice, or short")
		}
		seen[key] = true
	}
}

func TestNormalise(t *testing.T) { // S45: spaces ignored, exactly six digits
	for typed, want := range map[string]string{
		"123456": "123456", "123 456": "123456", " 123456\t": "123456", "123\u00a0456": "123456", "123\u202f456": "123456",
		"1 2 3 4 5 6": "123456", "123456\r\n": "123456", "000000": "000000",
		"12345": "", "1234567": "", "": "", "abcdef": "", "１２３４５６": "", "123-456": "", "123456\x00": "", "+12345": "", "1234\u200b56": "",
	} {
		if got, ok := Normalise(typed); got != want || ok != (want != "") {
			t.Errorf("Normalise(%q) = %q, %v", typed, got, ok)
		}
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"123456", "123\u00a0456", "１２３４５６", "\xff123456", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := Normalise(typed)
		if !ok {
			if code != "" {
				t.Errorf("%q: refused, but %q returned", typed, code)
			}
			return
		}
		if len(code) != Digits || strings.Trim(code, "0123456789") != "" {
			t.Errorf("%q: %q", typed, code)
		}
		if again, ok := Normalise(code); !ok || again != code {
			t.Errorf("%q is not stable", code)
		}
		if strings.Join(strings.Fields(typed), "") != code {
			t.Errorf("%q became %q: more than blanks went", typed, code)
		}
	})
}

func TestClockOffset(t *testing.T) { // S46
	key, centre := NewKey(), int64(59_000_000)
	for offset, want := range map[int64]int{
		0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 20: 10, -1: -1, -2: -1, -3: -2, -5: -3, -20: -10,
	} {
		if got, ok := ClockOffset(key, code(t, key, centre+offset), at(centre)); !ok || got != want {
			t.Errorf("offset %d: %d minutes, %v; want %d", offset, got, ok, want)
		}
	}
	for _, far := range []int64{21, -21, 120, -2880} {
		if got, ok := ClockOffset(key, code(t, key, centre+far), at(centre)); ok {
			t.Errorf("offset %d: a hint of %d minutes", far, got)
		}
	}
	if _, ok := ClockOffset(NewKey(), code(t, key, centre), at(centre)); ok {
		t.Error("a hint for another key")
	}
}

func TestDriftIsLearntInSmallBoundedMoves(t *testing.T) { // S47
	centre := int64(59_000_000)
	middle := time.Unix(centre*30+15, 0)
	for _, c := range []struct{ drift, seen, want int64 }{ // seconds, steps, seconds
		{0, 0, 0}, {0, 1, 22}, {0, -1, -22}, {60, 2, 60}, {60, 3, 82}, {60, 1, 38},
		{0, 9, 30}, {0, -9, -30}, // by one step at most, whatever was seen
		{MaxDrift, 41, MaxDrift}, {-MaxDrift, -41, -MaxDrift}, {5000, 41, MaxDrift},
	} {
		if got := NextDrift(c.drift, centre+c.seen, middle); got != c.want {
			t.Errorf("drift %d, seen %d: %d, want %d", c.drift, c.seen, got, c.want)
		}
	}
}

// Three years of a clock that gains or loses two minutes a year, used once a month,
// each code typed up to five seconds after it was read.
func TestThreeYearsOfDriftNeverFail(t *testing.T) { // S47
	random := rand.New(rand.NewPCG(1, 2))
	for _, perYear := range []time.Duration{2 * time.Minute, -2 * time.Minute, 30 * time.Second, -30 * time.Second, 0} {
		for range 100 {
			key, drift, last := NewKey(), int64(0), int64(0)
			linked := time.Unix(1_800_000_000+random.Int64N(1e6), 0)
			for month := range 37 {
				shown := linked.Add(time.Duration(month)*30*24*time.Hour + time.Duration(random.Int64N(int64(time.Hour))))
				device := shown.Add(perYear * time.Duration(month) / 12)
				typed := shown.Add(time.Duration(random.Int64N(int64(5 * time.Second))))
				step, ok := Match(key, code(t, key, Step(device)), typed, drift, Window)
				if !ok || step <= last {
					t.Fatalf("%s a year: month %d fails with drift %d", perYear, month, drift)
				}
				drift, last = NextDrift(drift, step, typed), step
			}
		}
	}
}

// A clock that is right stays usable, however often its codes are typed late.
func TestLateTypingDoesNotLoseAnExactClock(t *testing.T) {
	key, now := NewKey(), time.Unix(1_800_000_000, 0)
	random := rand.New(rand.NewPCG(3, 4))
	drift, refused := int64(0), 0
	for range 2000 {
		now = now.Add(time.Hour + time.Duration(random.Int64N(int64(time.Minute))))
		typed := now.Add(time.Duration(random.Int64N(int64(25 * time.Second))))
		step, ok := Match(key, code(t, key, Step(now)), typed, drift, Window)
		if !ok {
			refused++
			continue
		}
		drift = NextDrift(drift, step, typed)
	}
	if refused > 0 || drift > 60 || drift < -60 {
		t.Errorf("%d of 2000 refused, drift %d s", refused, drift)
	}
}

func BenchmarkMatch(b *testing.B) {
	key, now := NewKey(), time.Now()
	for b.Loop() {
		Match(key, "123456", now, 0, Window)
	}
}
