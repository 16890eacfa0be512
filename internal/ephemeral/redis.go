package ephemeral

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisConfig says where Redis (6.2 or newer) is. One address is a single
// server, unless Cluster is set; a SentinelMaster makes the addresses those of
// Sentinels. Redis must not evict keys to make room (maxmemory-policy
// noeviction): an evicted replay mark or counter would let an attacker in.
type RedisConfig struct {
	Addresses []string // host:port
	Cluster   bool     // the addresses are nodes of a Redis Cluster

	SentinelMaster   string // the name that the Sentinels watch the master by
	SentinelUsername string
	SentinelPassword string

	Username string
	Password string
	Database int         // 0 with Cluster
	TLS      *tls.Config // nil: plain TCP
	Prefix   string      // put before every key, e.g. "portti:", so that others may use the same Redis
	PoolSize int         // connections per server, 0: ten per core
}

// How long a call may take. A person waits at the other end: it is better to
// say soon that something is broken than to keep them looking at a white page.
const (
	dialTimeout = 2 * time.Second
	callTimeout = 2 * time.Second // for the write and for the answer
	poolTimeout = 2 * time.Second // for a free connection
	bufferSize  = 8 << 10         // bytes per connection and direction; our values are small
)

// Redis is the store that any number of replicas share.
//
// Each verb is one round trip and is atomic by the server: a command where one
// exists, a script otherwise. Nothing is repeated after a failure, for a
// repeated Take would find its own work and call the value spent; the caller
// gets fault.Unavailable and cannot know whether the verb was done. (Redis
// Cluster is the exception: its client follows the slots to another node and
// tries again, which can make a Take or an Add fail that in truth succeeded.
// That is the safe side.)
type Redis struct {
	client redis.UniversalClient
	prefix string
}

// OpenRedis connects, and fails when no server answers or it is too old.
func OpenRedis(ctx context.Context, c RedisConfig) (*Redis, error) {
	if len(c.Addresses) == 0 {
		return nil, errors.New("redis: no address")
	}
	if c.Cluster && c.SentinelMaster != "" {
		return nil, errors.New("redis: Cluster and Sentinel exclude each other")
	}
	if c.Cluster && c.Database != 0 {
		return nil, errors.New("redis: a Cluster has database 0 only")
	}
	redis.SetLogger(driverLog{})
	r := &Redis{prefix: c.Prefix, client: redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:            c.Addresses,
		IsClusterMode:    c.Cluster,
		MasterName:       c.SentinelMaster,
		SentinelUsername: c.SentinelUsername,
		SentinelPassword: c.SentinelPassword,
		Username:         c.Username,
		Password:         c.Password,
		DB:               c.Database,
		TLSConfig:        c.TLS,
		PoolSize:         c.PoolSize,

		DialTimeout:           dialTimeout,
		ReadTimeout:           callTimeout,
		WriteTimeout:          callTimeout,
		PoolTimeout:           poolTimeout,
		ContextTimeoutEnabled: true,
		DialerRetries:         1,
		MaxRetries:            -1,
		ReadBufferSize:        bufferSize,
		WriteBufferSize:       bufferSize,

		// Chatter at the start of every connection that we have no use for.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}
	if err := r.probe(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// probe tells at the start what would otherwise fail at the first sign-in.
func (r *Redis) probe(ctx context.Context) error {
	if err := r.Ping(ctx); err != nil {
		return err
	}
	err := r.client.GetDel(ctx, r.prefix+"probe").Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("redis: version 6.2 or newer is needed, with the right to write: %w", err)
	}
	return nil
}

func (r *Redis) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	return answer("put", r.client.Set(ctx, r.prefix+key, value, whole(ttl)).Err())
}

func (r *Redis) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := r.client.Get(ctx, r.prefix+key).Bytes()
	return value, answer("get", err)
}

func (r *Redis) Take(ctx context.Context, key string) ([]byte, error) {
	value, err := r.client.GetDel(ctx, r.prefix+key).Bytes()
	return value, answer("take", err)
}

func (r *Redis) Swap(ctx context.Context, key string, value []byte, ttl time.Duration) ([]byte, error) {
	if err := checkTTL(ttl); err != nil {
		return nil, err
	}
	was, err := r.client.SetArgs(ctx, r.prefix+key, value, redis.SetArgs{Mode: "XX", Get: true, TTL: whole(ttl)}).Result()
	if err != nil {
		return nil, answer("swap", err)
	}
	return []byte(was), nil
}

func (r *Redis) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	err := r.client.SetArgs(ctx, r.prefix+key, value, redis.SetArgs{Mode: "NX", TTL: whole(ttl)}).Err()
	if errors.Is(err, redis.Nil) {
		return errConflict
	}
	return answer("add", err)
}

// replaceScript answers 0: gone, 1: another value, 2: replaced.
var replaceScript = redis.NewScript(`
local held = redis.call('GET', KEYS[1])
if not held then return 0 end
if held ~= ARGV[1] then return 1 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 2`)

func (r *Redis) Replace(ctx context.Context, key string, old, value []byte, ttl time.Duration) error {
	if err := checkTTL(ttl); err != nil {
		return err
	}
	done, err := replaceScript.Run(ctx, r.client, []string{r.prefix + key}, old, value, whole(ttl).Milliseconds()).Int()
	if err != nil {
		return answer("replace", err)
	}
	switch done {
	case 0:
		return errNotFound
	case 1:
		return errConflict
	}
	return nil
}

func (r *Redis) Delete(ctx context.Context, key string) error {
	return answer("delete", r.client.Del(ctx, r.prefix+key).Err())
}

// incrementScript gives the window to whatever has none: a counter that never
// ends would lock somebody out for ever.
var incrementScript = redis.NewScript(`
local n = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
	left = tonumber(ARGV[1])
	redis.call('PEXPIRE', KEYS[1], left)
end
return {n, left}`)

func (r *Redis) Increment(ctx context.Context, key string, window time.Duration) (int64, time.Duration, error) {
	if err := checkTTL(window); err != nil {
		return 0, 0, err
	}
	return counter("increment", incrementScript.Run(ctx, r.client, []string{r.prefix + key}, whole(window).Milliseconds()))
}

var countScript = redis.NewScript(`
local n = redis.call('GET', KEYS[1])
if not n then return {0, 0} end
return {tonumber(n), redis.call('PTTL', KEYS[1])}`)

func (r *Redis) Count(ctx context.Context, key string) (int64, time.Duration, error) {
	return counter("count", countScript.Run(ctx, r.client, []string{r.prefix + key}))
}

func (r *Redis) Ping(ctx context.Context) error {
	return answer("ping", r.client.Ping(ctx).Err())
}

func (r *Redis) Close() error {
	if err := r.client.Close(); err != nil {
		return fmt.Errorf("redis: close: %w", err)
	}
	return nil
}

// counter reads the pair that the counter scripts answer: value, milliseconds.
func counter(verb string, cmd *redis.Cmd) (int64, time.Duration, error) {
	pair, err := cmd.Int64Slice()
	if err != nil {
		return 0, 0, answer(verb, err)
	}
	if len(pair) != 2 {
		return 0, 0, fmt.Errorf("redis: %s: %d values instead of 2", verb, len(pair))
	}
	return pair[0], time.Duration(pair[1]) * time.Millisecond, nil
}

// answer puts an error of the driver into our words. A server that answers with
// an error (loading, read-only, out of memory, no cluster) is of no more use to
// the person than one that is silent.
func answer(verb string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.Nil):
		return errNotFound
	}
	return &outage{verb, err}
}

// whole rounds up to the milliseconds that Redis counts in.
func whole(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

// driverLog sends what the driver has to say (failed dials, a new master) the way
// of all our log lines, at the lowest level: what matters of it comes back as the
// error of a call.
type driverLog struct{}

func (driverLog) Printf(ctx context.Context, format string, v ...any) {
	slog.DebugContext(ctx, "redis driver", "said", fmt.Sprintf(format, v...))
}
