"""Configuration of Redis and Sentinel.

Redis stores only data that can be rebuilt, so availability comes before durability: replication is
asynchronous. A primary without a replica for `MIN_REPLICAS_MAX_LAG` seconds rejects writes, which bounds what
a disconnected primary can accept and lose. All addresses are host names, no IP addresses: pods change
addresses, and a Sentinel with an old one cannot elect a primary.
"""

from __future__ import annotations

PORT = 6379
SENTINEL_PORT = 26379
MASTER_NAME = "esq"
"""Name of the monitored primary for Sentinels and clients."""
QUORUM = 2
DOWN_AFTER_MS = 6_500
"""Milliseconds without a reply after which a Sentinel considers a server down. It pings once a second, so a
stall of 5 s can look like 6 s and must be tolerated."""
FAILOVER_TIMEOUT_MS = 15_000
"""Timeout of a failover in milliseconds; the next attempt waits twice as long, so the default of 180 s costs
minutes."""
MIN_REPLICAS_MAX_LAG = 10

_TLS = """\
tls-cert-file /etc/esq/tls/tls.crt
tls-key-file /etc/esq/tls/tls.key
tls-ca-cert-file /etc/esq/tls/ca.crt
tls-auth-clients no
tls-replication yes
"""


def render_redis_conf(*, maxmemory: str) -> str:
    """Return the shared part of `redis.conf`; a starting pod adds name, role and passwords."""
    return f"""\
port 0
tls-port {PORT}
{_TLS}dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory {maxmemory}
# An error is better than a queue that silently evicts its oldest entries.
maxmemory-policy noeviction
min-replicas-to-write 1
min-replicas-max-lag {MIN_REPLICAS_MAX_LAG}
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-timeout 15
"""


def render_sentinel_conf() -> str:
    """Return the shared part of `sentinel.conf`; a starting pod adds name, primary and passwords."""
    return f"""\
port 0
tls-port {SENTINEL_PORT}
{_TLS}dir /tmp
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-port {SENTINEL_PORT}
"""


def render_sentinel_monitor_conf(primary: str) -> str:
    """Return the lines of `sentinel.conf` about the monitored primary; their order matters."""
    return f"""\
sentinel monitor {MASTER_NAME} {primary} {PORT} {QUORUM}
sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}
sentinel failover-timeout {MASTER_NAME} {FAILOVER_TIMEOUT_MS}
sentinel parallel-syncs {MASTER_NAME} 2
"""
