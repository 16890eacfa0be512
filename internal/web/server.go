package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Limits of a connection. They leave a slow telephone time and a slow attacker
// little.
const (
	readHeaderLimit = 10 * time.Second
	readLimit       = 30 * time.Second
	writeLimit      = 60 * time.Second
	idleLimit       = 2 * time.Minute
	headerBytes     = 32 << 10
	shutdownLimit   = 15 * time.Second
)

// Listen opens a TCP address such as ":8080" or "127.0.0.1:8080", and says in
// words what stands in the way.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is taken by another program; stop that one or choose another port: %w", address, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: the system does not permit it; ports below 1024 need a right of their own: %w", address, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// Serve answers on l until ctx ends, and then lets running requests finish. With
// a nil config it speaks plain http, for proxies and localhost. Errors of single
// connections, such as a scanner's broken handshake, are logged at debug.
func Serve(ctx context.Context, l net.Listener, h http.Handler, config *tls.Config, log *slog.Logger) error {
	server := &http.Server{
		Handler: h, TLSConfig: config, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: readHeaderLimit, ReadTimeout: readLimit, WriteTimeout: writeLimit, IdleTimeout: idleLimit, MaxHeaderBytes: headerBytes,
	}
	failed := make(chan error, 1)
	go func() {
		if config != nil {
			failed <- server.ServeTLS(l, "", "")
		} else {
			failed <- server.Serve(l)
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close() // what did not finish in time is cut off
		return fmt.Errorf("stop %s: %w", l.Addr(), err)
	}
	return nil
}
