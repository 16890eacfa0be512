// Package totp makes keys for authenticator apps and programmable tokens, shows
// them for linking, and tells which time step a code belongs to (RFC 6238). It is
// pure: one use of a code, limits and storage belong to package identity.
//
//	totp.go        Match, NextDrift, ClockOffset, Consecutive: codes and clocks
//	provision.go   Names, Provision: the key as URI, QR code and text
//
// The parameters are fixed: SHA-1, 6 digits, 30 seconds and a 20-byte key are what
// every app and token understands; some apps silently ignore all others (S38).
package totp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

const (
	KeySize = 20 // bytes, 160 bits (RFC 4226 §4 R6)
	Digits  = 6
	Period  = 30 * time.Second

	// Window is how many steps before and after the expected one are accepted,
	// and at the same time the widest that a setting may choose (S45).
	Window = 1

	// MaxDrift bounds the offset of a clock, in seconds: twenty minutes, as far as
	// Consecutive looks. A token that loses two minutes a year takes ten years to it
	// (S47).
	MaxDrift = 1200

	// resyncSteps is how far Consecutive looks: twenty minutes (S47).
	resyncSteps = 40

	// hintSteps is how far ClockOffset looks: ten minutes (S46).
	hintSteps = 20

	period = int64(Period / time.Second)
)

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewKey returns a new key of KeySize bytes.
func NewKey() []byte {
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return key
}

// Step returns the time step that now lies in (RFC 6238 §4.2).
func Step(now time.Time) int64 {
	s := now.Unix()
	if s < 0 {
		return (s - period + 1) / period
	}
	return s / period
}

// Code returns the code of a step. For tests and the demo's authenticator; a
// sign-in uses Match.
func Code(key []byte, step int64) (string, error) {
	return hotp.GenerateCodeCustom(encoding.EncodeToString(key), uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
}

// Normalise removes blanks of any kind from what a person typed or pasted, and
// tells whether six digits remain.
func Normalise(typed string) (string, bool) {
	if len(typed) > 64 {
		return "", false
	}
	code := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, typed)
	if len(code) != Digits {
		return "", false
	}
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	return code, true
}

// Match finds the time step that a code belongs to, among the window steps before
// and after the one that the device's clock should show: that of now, moved by the
// learnt drift in seconds. A window over Window is taken as Window.
//
// A match says nothing about reuse: the caller must spend the step before
// anything follows from it (identity.Tx.UseStep). When one code stands for two
// steps of the window, the later is returned, so that it cannot be used again.
func Match(key []byte, code string, now time.Time, drift int64, window int) (step int64, ok bool) {
	expected := Step(moved(now, drift))
	width := int64(min(max(window, 0), Window))
	return search(key, code, expected-width, expected+width)
}

// search compares with every step from first to last, without leaving early, so
// that the time tells nothing about which one matched.
func search(key []byte, code string, first, last int64) (step int64, ok bool) {
	code, valid := Normalise(code)
	if !valid || len(key) != KeySize {
		return 0, false
	}
	found := 0
	for candidate := first; candidate <= last; candidate++ {
		right, err := Code(key, candidate)
		if err != nil {
			return 0, false
		}
		hit := subtle.ConstantTimeCompare([]byte(right), []byte(code))
		found |= hit
		step ^= (step ^ candidate) & -int64(hit) // step = candidate on a hit
	}
	return step, found == 1
}

// NextDrift returns the drift to store after a success at step: how many seconds
// the device's clock is fast (negative: slow). It moves by three quarters of what
// was seen, by one step at most, and never beyond MaxDrift (S47).
//
// In seconds and not in steps, because a code says only in which 30 seconds a
// clock is, and people type it a while after it was shown: a drift of whole steps
// that follows each success jumps past the truth, and a token that drifts two
// minutes a year and is used once a month then fails in its first three years.
func NextDrift(drift, step int64, now time.Time) int64 {
	shows := step*period + period/2 // the middle of what the device's clock may show
	seen := shows - moved(now, drift).Unix()
	drift += min(max(seen*3/4, -period), period)
	return min(max(drift, -MaxDrift), MaxDrift)
}

// moved is what a clock shows at now that is fast by drift seconds.
func moved(now time.Time, drift int64) time.Time {
	return now.Add(time.Duration(min(max(drift, -MaxDrift), MaxDrift)) * time.Second)
}

// ClockOffset looks for the step of a refused code within ten minutes around now
// and returns how many minutes the device's clock is fast (negative: slow). 0
// means that the clock is right, and it is the learnt drift that is not: user
// support must start over with it.
//
// Only to be asked after a right password, a few times, and it never signs in
// (S46): every answer tells something about the key.
func ClockOffset(key []byte, code string, now time.Time) (minutes int, ok bool) {
	centre := Step(now)
	step, ok := search(key, code, centre-hintSteps, centre+hintSteps)
	if !ok {
		return 0, false
	}
	half := int(step - centre) // half minutes
	if half < 0 {
		return (half - 1) / 2, true
	}
	return (half + 1) / 2, true
}

// Consecutive finds the step of the second of two codes that a device showed one
// after the other, within twenty minutes around now: what user support starts a clock
// over with (RFC 6238 §6, S47). Two codes of a row are a chance in some 10¹⁰ for
// whoever guesses; one alone would be 80 in a million.
//
// As with Match, the caller must spend the step before anything follows from it.
func Consecutive(key []byte, first, second string, now time.Time) (step int64, ok bool) {
	first, valid := Normalise(first)
	second, also := Normalise(second)
	if !valid || !also || len(key) != KeySize {
		return 0, false
	}
	centre, found, before := Step(now), 0, 0
	for candidate := centre - resyncSteps; candidate <= centre+resyncSteps; candidate++ {
		right, err := Code(key, candidate)
		if err != nil {
			return 0, false
		}
		hit := before & subtle.ConstantTimeCompare([]byte(right), []byte(second))
		before = subtle.ConstantTimeCompare([]byte(right), []byte(first))
		found |= hit
		step ^= (step ^ candidate) & -int64(hit) // step = candidate on a hit
	}
	return step, found == 1
}

// DriftOf is the drift of a clock whose second of two codes was of step. Between
// the moment it was shown and now it was read out and typed: half a minute, and half
// a minute more or less is what the window forgives.
func DriftOf(step int64, now time.Time) int64 {
	return min(max((step+1)*period-now.Unix(), -MaxDrift), MaxDrift)
}

// checkKey guards what is shown to people.
func checkKey(key []byte) error {
	if len(key) != KeySize {
		return fmt.Errorf("authenticator key of %d bytes, not %d", len(key), KeySize)
	}
	return nil
}
