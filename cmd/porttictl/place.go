package main

import (
	"context"
	"net/netip"
	"os"
	"os/user"
	"strings"

	"github.com/portti-id/portti/internal/audit"
)

// unset is what Linux says of a process that nobody has logged in for: -1.
const unset = "4294967295"

// at is a context whose events tell from where the operator acts, as far as this
// machine knows: there is no session of ours, and the name is the operator's own
// word. Who has logged in Linux keeps through su and sudo (pam_loginuid); the address
// is that of an SSH connection, which sudo takes away unless it is told to keep it.
func (d *desk) at(ctx context.Context) context.Context {
	s := audit.SignIn{Actor: d.by.Name, Details: map[string]string{}}
	from, _, _ := strings.Cut(os.Getenv("SSH_CONNECTION"), " ")
	if address, err := netip.ParseAddr(from); err == nil {
		s.Address = address.Unmap().WithZone("").String()
	}
	if name, err := os.Hostname(); err == nil {
		s.Details[audit.Machine] = name
	}
	if uid := ofProcess("loginuid"); uid != "" {
		s.Details[audit.Login] = uid
		if u, err := user.LookupId(uid); err == nil {
			s.Details[audit.Login] = u.Username
		}
		if n := ofProcess("sessionid"); n != "" {
			s.Details[audit.LoginSession] = n
		}
	} else if u, err := user.Current(); err == nil {
		s.Details[audit.Login] = u.Username
	}
	return audit.WithSignIn(ctx, s)
}

// ofProcess is a number that Linux keeps of this process, "" when there is none.
func ofProcess(what string) string {
	text, err := os.ReadFile("/proc/self/" + what)
	if number := strings.TrimSpace(string(text)); err == nil && number != unset {
		return number
	}
	return ""
}
