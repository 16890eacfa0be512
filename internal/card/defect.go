package card

import (
	"errors"
	"fmt"
	"time"
)

// Fault is what is wrong with a bundle that is not put in force. The Console has the
// texts of those who read its pages, as "con.trust.defect." and the word.
type Fault string

const (
	FaultSettings   Fault = "settings"   // trust.yaml itself, or what it says
	FaultUnreadable Fault = "unreadable" // a file that is not there, or does not hold one certificate
	FaultNotCA      Fault = "not_ca"     // that may issue cards
	FaultEarly      Fault = "early"      // not valid yet
	FaultExpired    Fault = "expired"    //
	FaultWeak       Fault = "weak"       // its key, or the signature on it
	FaultLimits     Fault = "limits"     // that it has and that would not be kept
	FaultTest       Fault = "test"       // a test CA, where none is accepted
	FaultTwice      Fault = "twice"      // the same CA is in another file
	FaultNotRoot    Fault = "not_root"   //
	FaultName       Fault = "name"       // is another one than the settings say
	FaultChain      Fault = "chain"      // leads to no root of the bundle
)

// Defect is one thing for which a bundle is not put in force.
type Defect struct {
	Fault Fault
	File  string    // of the certificate, or of the settings
	Date  time.Time // early, expired: the certificate's; zero otherwise
	Text  string    // all of it in English, with the setting
}

// Defects are what an error of NewTrust or of a bundle holds, in its order.
func Defects(err error) []Defect {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []Defect
		for _, one := range joined.Unwrap() {
			all = append(all, Defects(one)...)
		}
		return all
	}
	d := Defect{Fault: FaultSettings, File: BundleFile, Text: err.Error()}
	if f := (&faulty{}); errors.As(err, &f) {
		d.Fault, d.Date = f.fault, f.date
		if in := (&inFile{}); errors.As(err, &in) {
			d.File = in.file
		}
	}
	return []Defect{d}
}

// faulty is an error of which is known what it is.
type faulty struct {
	fault Fault
	date  time.Time
	err   error
}

func (f *faulty) Error() string { return f.err.Error() }
func (f *faulty) Unwrap() error { return f.err }

func is(fault Fault, format string, args ...any) error {
	return &faulty{fault: fault, err: fmt.Errorf(format, args...)}
}

// inFile is an error with the setting that names a file.
type inFile struct {
	field, file string
	err         error
}

func (i *inFile) Error() string { return fmt.Sprintf("%s (file %q): %v", i.field, i.file, i.err) }
func (i *inFile) Unwrap() error { return i.err }
