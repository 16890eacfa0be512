package ephemeral_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
)

// These tests run Redis servers of their own, to kill them, to lock them and to
// build a Cluster and a Sentinel of them.

// A server killed in the middle of work fails the calls, loses no more than
// itself, and serves again as soon as it is back.
func TestRedisKilledAndBack(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	store := openRedis(t, ephemeral.RedisConfig{Addresses: []string{server.address}})
	must(t, store.Put(t.Context(), "k", []byte("v"), long))

	var all sync.WaitGroup
	failures := make(chan error, 8)
	for range cap(failures) {
		all.Go(func() {
			for t.Context().Err() == nil {
				if _, _, err := store.Increment(t.Context(), "n", long); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	server.kill()
	all.Wait()
	close(failures)
	for err := range failures {
		wantOutage(t, err)
	}
	for verb, err := range everyVerb(t.Context(), store) {
		if err == nil {
			t.Errorf("%s succeeded without a server", verb)
			continue
		}
		wantOutage(t, err)
	}

	server.start()
	eventually(t, func() error { return store.Ping(t.Context()) })
	for verb, err := range everyVerb(t.Context(), store) { // the scripts are gone from the new server, too
		if err != nil {
			t.Errorf("%s after the restart: %v", verb, err)
		}
	}
}

// A server that accepts and says nothing holds nobody longer than the caller's
// deadline.
func TestRedisSilent(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	store := openRedis(t, ephemeral.RedisConfig{Addresses: []string{server.address}})
	must(t, server.running.Process.Signal(syscall.SIGSTOP))
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, err := store.Get(ctx, "k")
	wantOutage(t, err)
	must(t, server.running.Process.Signal(syscall.SIGCONT))
	eventually(t, func() error { return store.Put(t.Context(), "k", []byte("v"), long) })
}

// A verb is never done twice: a connection that dies after the server has taken
// the value must not make the client ask again and hear "not found".
func TestRedisIsNotAskedTwice(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	lossy := startLossyProxy(t, server.address)
	store := openRedis(t, ephemeral.RedisConfig{Addresses: []string{lossy.address}})
	must(t, store.Put(t.Context(), "k", []byte("v"), long))
	lossy.loseNextAnswer()
	_, err := store.Take(t.Context(), "k")
	wantOutage(t, err)
	wantKind(t, fault.NotFound)(store.Take(t.Context(), "k")) // it had been taken

	lossy.loseNextAnswer()
	wantOutage(t, store.Add(t.Context(), "a", []byte("v"), long))

	lossy.loseNextAnswer()
	_, _, err = store.Increment(t.Context(), "n", long)
	wantOutage(t, err)
	// The script travels again after the first NOSCRIPT, so that the answer
	// that was lost is that one; the count is at most one.
	if n, _, err := store.Count(t.Context(), "n"); n > 1 || err != nil {
		t.Errorf("Count = %d, %v: one call counted twice", n, err)
	}
}

func TestRedisOutOfReachAtTheStart(t *testing.T) {
	t.Parallel()
	_, err := ephemeral.OpenRedis(t.Context(), ephemeral.RedisConfig{Addresses: []string{freeAddress(t)}})
	wantOutage(t, err)
}

func TestRedisConfigsThatCannotBe(t *testing.T) {
	for name, c := range map[string]ephemeral.RedisConfig{
		"no address":           {},
		"cluster and sentinel": {Addresses: []string{"127.0.0.1:1"}, Cluster: true, SentinelMaster: "m"},
		"cluster database":     {Addresses: []string{"127.0.0.1:1"}, Cluster: true, Database: 1},
	} {
		if _, err := ephemeral.OpenRedis(t.Context(), c); err == nil || fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v, want an error about the configuration", name, err)
		}
	}
}

func TestRedisPrefixesAreApart(t *testing.T) {
	a, b := ephemeraltest.Open(t), ephemeraltest.Open(t)
	must(t, a.Put(t.Context(), "k", []byte("a"), long))
	wantKind(t, fault.NotFound)(b.Get(t.Context(), "k"))
	wantKind(t, fault.NotFound)(b.Take(t.Context(), "k"))
	must(t, b.Delete(t.Context(), "k"))
	wantValue(t, "k", []byte("a"))(a.Get(t.Context(), "k"))
}

// Two replicas are two clients: what one took the other cannot take.
func TestRedisReplicasRace(t *testing.T) {
	prefix := "test:" + rand.Text() + ":"
	replicas := [2]ephemeral.Store{ephemeraltest.Shared(t, prefix), ephemeraltest.Shared(t, prefix)}
	must(t, replicas[0].Put(t.Context(), "k", []byte("v"), long))
	wins := race(t, fault.NotFound, func(i int) error {
		_, err := replicas[i%2].Take(t.Context(), "k")
		return err
	})
	if wins != 1 {
		t.Errorf("%d took it", wins)
	}
}

// Nothing is left in Redis without an end.
func TestRedisKeysAllExpire(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	store := openRedis(t, ephemeral.RedisConfig{Addresses: []string{server.address}, Prefix: "p:"})
	for verb, err := range everyVerb(t.Context(), store) {
		if err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	raw := redis.NewClient(&redis.Options{Addr: server.address})
	defer raw.Close()
	// A counter that an operator's slip left without an end gets one back.
	must(t, raw.Set(t.Context(), "p:endless", 4, 0).Err())
	if n, left, err := store.Increment(t.Context(), "endless", long); n != 5 || left != long || err != nil {
		t.Errorf("Increment = %d, %v, %v", n, left, err)
	}
	keys, err := raw.Keys(t.Context(), "*").Result()
	must(t, err)
	if len(keys) < 3 {
		t.Fatalf("only %v: the test proves nothing", keys)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "p:") {
			t.Errorf("%s lacks the prefix", key)
		}
		if left := raw.PTTL(t.Context(), key).Val(); left <= 0 || left > long {
			t.Errorf("%s lives %v", key, left)
		}
	}
}

func TestRedisPasswordAndTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, roots := serverCertificate(t)
	server := startRedis(t, "--tls-port", "PORT", "--port", "0", "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile,
		"--tls-auth-clients", "no", "--user", "default", "off", "--user", "portti", "on", ">s3cret", "~portti:*", "+@all", "-@dangerous")
	right := ephemeral.RedisConfig{Addresses: []string{server.address}, Username: "portti", Password: "s3cret", Prefix: "portti:", TLS: &tls.Config{RootCAs: roots, ServerName: "redis.test"}}
	for verb, err := range everyVerb(t.Context(), openRedis(t, right)) {
		if err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	for name, change := range map[string]func(*ephemeral.RedisConfig){
		"wrong password": func(c *ephemeral.RedisConfig) { c.Password = "secret" },
		"no password":    func(c *ephemeral.RedisConfig) { c.Username, c.Password = "", "" },
		"foreign prefix": func(c *ephemeral.RedisConfig) { c.Prefix = "other:" },
		"plain TCP":      func(c *ephemeral.RedisConfig) { c.TLS = nil },
		"unknown CA": func(c *ephemeral.RedisConfig) {
			c.TLS = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "redis.test"}
		},
		"other name": func(c *ephemeral.RedisConfig) { c.TLS = &tls.Config{RootCAs: roots, ServerName: "other.test"} },
	} {
		wrong := right
		change(&wrong)
		store, err := ephemeral.OpenRedis(t.Context(), wrong)
		if err == nil {
			t.Errorf("%s: it opened", name)
			_ = store.Close()
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the message tells the password: %v", name, err)
		}
	}
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	var nodes [2]*server
	for i := range nodes {
		bus := freeAddress(t)
		nodes[i] = startRedis(t, "--cluster-enabled", "yes", "--cluster-port", port(bus))
		raw := redis.NewClient(&redis.Options{Addr: nodes[i].address})
		defer raw.Close()
		must(t, raw.ClusterAddSlotsRange(t.Context(), i*8192, i*8192+8191).Err())
		if i > 0 {
			must(t, raw.Do(t.Context(), "CLUSTER", "MEET", "127.0.0.1", port(nodes[0].address), port(nodes[0].bus)).Err())
		}
		eventually(t, func() error {
			if info := raw.ClusterInfo(t.Context()).Val(); i > 0 && !strings.Contains(info, "cluster_state:ok") {
				return errors.New(info)
			}
			return nil
		})
	}
	var store ephemeral.Store
	eventually(t, func() (err error) {
		store, err = ephemeral.OpenRedis(t.Context(), ephemeral.RedisConfig{Addresses: []string{nodes[0].address}, Cluster: true, Prefix: "portti:"})
		return err
	})
	defer store.Close()
	for i := range 20 { // keys on both nodes
		prefixed := within{store, fmt.Sprint(i, ":")}
		for verb, err := range everyVerb(t.Context(), prefixed) {
			if err != nil {
				t.Errorf("%s: %v", verb, err)
			}
		}
		must(t, prefixed.Put(t.Context(), "race", []byte("v"), long))
		wins := race(t, fault.NotFound, func(int) error {
			_, err := prefixed.Take(t.Context(), "race")
			return err
		})
		if wins != 1 {
			t.Errorf("%d took it", wins)
		}
	}
}

func TestRedisSentinelFailsOver(t *testing.T) {
	t.Parallel()
	master := startRedis(t, "--repl-diskless-sync-delay", "0")
	replica := startRedis(t, "--replicaof", "127.0.0.1 "+port(master.address))
	settings := filepath.Join(t.TempDir(), "sentinel.conf")
	must(t, os.WriteFile(settings, fmt.Appendf(nil,
		"sentinel monitor gate 127.0.0.1 %s 1\nsentinel down-after-milliseconds gate 300\nsentinel failover-timeout gate 2000\n", port(master.address)), 0o600))
	sentinel := startRedis(t, "FILE", settings, "--sentinel")

	var store ephemeral.Store
	eventually(t, func() (err error) {
		store, err = ephemeral.OpenRedis(t.Context(), ephemeral.RedisConfig{Addresses: []string{sentinel.address}, SentinelMaster: "gate"})
		return err
	})
	defer store.Close()
	must(t, store.Put(t.Context(), "k", []byte("v"), long))
	raw := redis.NewClient(&redis.Options{Addr: replica.address})
	defer raw.Close()
	eventually(t, func() error { return raw.Get(t.Context(), "k").Err() })
	watch := redis.NewSentinelClient(&redis.Options{Addr: sentinel.address})
	defer watch.Close()
	eventually(t, func() error {
		if known := watch.Replicas(t.Context(), "gate").Val(); len(known) != 1 {
			return fmt.Errorf("sentinel knows %d replicas", len(known))
		}
		return nil
	})

	master.kill()
	_, err := store.Get(t.Context(), "k")
	wantOutage(t, err)
	eventually(t, func() error { return store.Put(t.Context(), "after", []byte("v"), long) })
	wantValue(t, "k", []byte("v"))(store.Get(t.Context(), "k"))
}

// everyVerb calls each verb once and returns what failed besides the promise.
func everyVerb(ctx context.Context, s ephemeral.Store) map[string]error {
	errs := map[string]error{}
	errs["Put"] = s.Put(ctx, "k", []byte("a"), long)
	_, errs["Get"] = s.Get(ctx, "k")
	errs["Replace"] = s.Replace(ctx, "k", []byte("a"), []byte("b"), long)
	_, errs["Swap"] = s.Swap(ctx, "k", []byte("c"), long)
	value, err := s.Take(ctx, "k")
	if err == nil && string(value) != "c" {
		err = fmt.Errorf("took %q", value)
	}
	errs["Take"] = err
	errs["Add"] = s.Add(ctx, "k", []byte("d"), long)
	errs["Delete"] = s.Delete(ctx, "k")
	errs["Put again"] = s.Put(ctx, "held", []byte("e"), long)
	errs["Add again"] = s.Add(ctx, "k", []byte("d"), long)
	_, _, errs["Increment"] = s.Increment(ctx, "n", long)
	_, _, errs["Count"] = s.Count(ctx, "n")
	errs["Ping"] = s.Ping(ctx)
	return errs
}

// within puts a prefix before the keys of a store.
type within struct {
	ephemeral.Store
	prefix string
}

func (w within) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return w.Store.Put(ctx, w.prefix+key, value, ttl)
}
func (w within) Get(ctx context.Context, key string) ([]byte, error) {
	return w.Store.Get(ctx, w.prefix+key)
}
func (w within) Take(ctx context.Context, key string) ([]byte, error) {
	return w.Store.Take(ctx, w.prefix+key)
}
func (w within) Swap(ctx context.Context, key string, value []byte, ttl time.Duration) ([]byte, error) {
	return w.Store.Swap(ctx, w.prefix+key, value, ttl)
}
func (w within) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return w.Store.Add(ctx, w.prefix+key, value, ttl)
}
func (w within) Replace(ctx context.Context, key string, old, value []byte, ttl time.Duration) error {
	return w.Store.Replace(ctx, w.prefix+key, old, value, ttl)
}
func (w within) Delete(ctx context.Context, key string) error {
	return w.Store.Delete(ctx, w.prefix+key)
}
func (w within) Increment(ctx context.Context, key string, window time.Duration) (int64, time.Duration, error) {
	return w.Store.Increment(ctx, w.prefix+key, window)
}
func (w within) Count(ctx context.Context, key string) (int64, time.Duration, error) {
	return w.Store.Count(ctx, w.prefix+key)
}

// wantOutage checks that people see a plain fault and the log sees the cause.
func wantOutage(t *testing.T, err error) {
	t.Helper()
	f, ok := fault.Of(err)
	if !ok || f.Kind != fault.Unavailable || f.Code != "ephemeral_unavailable" {
		t.Errorf("got %v, want ephemeral_unavailable", err)
		return
	}
	if strings.Contains(f.Message, "127.0.0.1") || !strings.HasPrefix(err.Error(), "redis: ") || err.Error() == f.Message {
		t.Errorf("people see %q, the log sees %q", f.Message, err)
	}
}

// eventually repeats f until it succeeds. The time is not what is tested: it
// only ends a test that hangs.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("it never came: %v", err)
}

func openRedis(t *testing.T, c ephemeral.RedisConfig) *ephemeral.Redis {
	t.Helper()
	store, err := ephemeral.OpenRedis(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// server is a Redis of the test's own.
type server struct {
	t       *testing.T
	address string
	bus     string // of a Cluster node
	args    []string
	running *exec.Cmd
	output  bytes.Buffer
}

// startRedis starts a server that keeps nothing on disk. In args, "PORT" stands
// for its port, and "FILE", path at the beginning for a settings file.
func startRedis(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{t: t, address: freeAddress(t)}
	if len(args) > 1 && args[0] == "FILE" {
		s.args, args = append(s.args, args[1]), args[2:]
	}
	s.args = append(s.args, "--bind", "127.0.0.1", "--port", port(s.address), "--dir", t.TempDir(), "--save", "", "--appendonly", "no")
	for i, arg := range args {
		if arg == "PORT" {
			arg = port(s.address)
		}
		if i > 0 && args[i-1] == "--cluster-port" {
			s.bus = "127.0.0.1:" + arg
		}
		s.args = append(s.args, arg)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("redis-server %s said:\n%s", strings.Join(s.args, " "), s.output.String())
		}
	})
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		ephemeraltest.Missing(s.t, "redis-server is not installed; make test installs it")
	}
	s.running = exec.Command(program, s.args...)
	s.running.Stdout, s.running.Stderr = &s.output, &s.output
	must(s.t, s.running.Start())
	eventually(s.t, func() error {
		connection, err := net.Dial("tcp", s.address)
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

func (s *server) kill() {
	if s.running == nil {
		return
	}
	_ = s.running.Process.Kill()
	_ = s.running.Wait() // "signal: killed"
	s.running = nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func port(address string) string {
	_, p, _ := strings.Cut(address, ":")
	return p
}

// lossyProxy passes bytes on, and drops a connection instead of an answer when
// told to.
type lossyProxy struct {
	address string
	mu      sync.Mutex
	lose    bool
}

func startLossyProxy(t *testing.T, to string) *lossyProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	p := &lossyProxy{address: l.Addr().String()}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(near, to)
		}
	}()
	return p
}

func (p *lossyProxy) loseNextAnswer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose = true
}

func (p *lossyProxy) pass(near net.Conn, to string) {
	defer near.Close()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		buffer := make([]byte, 32<<10)
		for {
			n, err := near.Read(buffer)
			if err != nil {
				_ = far.Close()
				return
			}
			if _, err := far.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := far.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		lose := p.lose && !bytes.HasPrefix(buffer[:n], []byte("-NOSCRIPT"))
		if lose {
			p.lose = false
		}
		p.mu.Unlock()
		if lose {
			return
		}
		if _, err := near.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// serverCertificate writes a self-signed certificate for redis.test.
func serverCertificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis.test"}, DNSNames: []string{"redis.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	roots = x509.NewCertPool()
	roots.AddCert(cert)
	return certFile, keyFile, roots
}
