"""Settings of Redis and Sentinel.

Redis holds only what can be rebuilt, so it favours being there over keeping all: replication is
asynchronous. A primary that hears no replica for `LAG` seconds stops taking writes, which bounds what a
cut-off primary can take and lose. Everything is named, nothing numbered: pods change addresses, and a
Sentinel that remembers an old one elects nobody.
"""

from __future__ import annotations

PORT = 6379
SENTINEL_PORT = 26379
MASTER = "esq"
"""What Sentinels and clients call the group of servers."""
QUORUM = 2
DOWN_AFTER_MS = 6_500
"""Milliseconds without an answer after which a Sentinel takes a server for dead. It asks once a second, so
that a stall of 5 s can be up to 6 s old in its eyes: that is to be borne."""
FAILOVER_TIMEOUT_MS = 15_000
"""Milliseconds a failover may take; the next try waits twice as long, so the customary 180 s cost minutes."""
LAG = 10

_TLS = """\
tls-cert-file /etc/esq/tls/tls.crt
tls-key-file /etc/esq/tls/tls.key
tls-ca-cert-file /etc/esq/tls/ca.crt
tls-auth-clients no
tls-replication yes
"""


def server(*, maxmemory: str) -> str:
    """Return the shared part of `redis.conf`; name, role and passwords are added when a pod starts."""
    return f"""\
port 0
tls-port {PORT}
{_TLS}dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory {maxmemory}
# An error is better than a queue that loses its oldest entries without a word.
maxmemory-policy noeviction
min-replicas-to-write 1
min-replicas-max-lag {LAG}
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-timeout 15
"""


def sentinel() -> str:
    """Return the shared part of `sentinel.conf`; name, primary and passwords are added when a pod starts."""
    return f"""\
port 0
tls-port {SENTINEL_PORT}
{_TLS}dir /tmp
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-port {SENTINEL_PORT}
"""


def group(primary: str) -> str:
    """Return the lines that tell a Sentinel whom to watch; they have to follow each other in this order."""
    return f"""\
sentinel monitor {MASTER} {primary} {PORT} {QUORUM}
sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}
sentinel failover-timeout {MASTER} {FAILOVER_TIMEOUT_MS}
sentinel parallel-syncs {MASTER} 2
"""
