"""Configuration of Redis and Sentinel.

Redis stores only data that can be rebuilt, so availability comes before durability: replication is
asynchronous. A primary without a replica for `MIN_REPLICAS_MAX_LAG` seconds rejects writes, which bounds what
a disconnected primary can accept and lose. All addresses are host names, no IP addresses: pods change
addresses, and a Sentinel with an old one cannot elect a primary.

Every account may run only the commands that it needs, on servers and on Sentinels; the user `default`, which
needs no name, is off. The files contain hashes of passwords, and a password of each accepted generation of
credentials.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from services.contracts.redis_access import QUEUE_COMMANDS, SENTINEL_COMMANDS, queue_keys_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.credentials import RedisCredentials

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

ADMIN, PROBE, REPLICATION, SENTINEL = "admin", "probe", "replication", "sentinel"
"""Accounts beside those of the services: of operators, of probes and `esq status`, of replicas at their
primary, of Sentinels at servers and at each other."""
DATA_DIRECTORY = "/data"
CONFIG_FILE = "/run/esq/redis.conf"
USERS_FILE = "/etc/esq/tls/users.acl"
SENTINEL_USERS_FILE = "/etc/esq/tls/sentinel-users.acl"

_HELLO_CHANNEL = "&__sentinel__:hello"
_SERVER_RULES = {
    ADMIN: "~* &* +@all",
    PROBE: "+ping +info",
    REPLICATION: "+ping +psync +replconf",
    # The list of the documentation of Redis Sentinel, with one channel instead of all.
    SENTINEL: f"{_HELLO_CHANNEL} +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info"
    " +client|setname +client|kill +script|kill",
}
_SENTINEL_RULES = {
    ADMIN: "~* &* +@all",
    PROBE: "+ping +sentinel|ckquorum +sentinel|get-master-addr-by-name +sentinel|master",
    SENTINEL: f"{_HELLO_CHANNEL} +ping +publish +client|setname +sentinel|is-master-down-by-addr",
}

_TLS = """\
tls-cert-file /etc/esq/tls/tls.crt
tls-key-file /etc/esq/tls/tls.key
tls-ca-cert-file /etc/esq/tls/ca.crt
tls-auth-clients no
tls-replication yes
"""


def render_redis_conf(*, maxmemory: str) -> str:
    """Return the shared part of `redis.conf`; a starting pod adds name, role and password."""
    return f"""\
port 0
tls-port {PORT}
{_TLS}dir {DATA_DIRECTORY}
aclfile {USERS_FILE}
masteruser {REPLICATION}
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


def render_start_script() -> str:
    """Return the script that starts the server.

    After a power loss the log may end with zeros: its new length was written, and its last data was not.
    Redis accepts a log that is cut off, but refuses to start with zeros. They are cut off, as is everything
    after other damage: all data can be rebuilt.
    """
    return f"""\
set -eu
log={DATA_DIRECTORY}/appendonlydir/appendonly.aof.manifest
[ ! -e "$log" ] || echo y | redis-check-aof --fix "$log"
exec redis-server {CONFIG_FILE}
"""


def render_sentinel_conf() -> str:
    """Return the shared part of `sentinel.conf`; a starting pod adds name, primary and passwords."""
    return f"""\
port 0
tls-port {SENTINEL_PORT}
{_TLS}dir /tmp
aclfile {SENTINEL_USERS_FILE}
sentinel sentinel-user {SENTINEL}
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
sentinel auth-user {MASTER_NAME} {SENTINEL}
"""


def accepted_passwords(accounts: Sequence[RedisCredentials]) -> dict[str, tuple[str, ...]]:
    """Return the accepted passwords by account, for `render_server_users` and `render_sentinel_users`.

    Args:
        accounts: accepted generations of passwords.
    """
    generations = [
        {
            ADMIN: generation.admin,
            PROBE: generation.probe,
            REPLICATION: generation.replication,
            SENTINEL: generation.sentinel,
            **generation.services,
        }
        for generation in accounts
    ]
    return {name: tuple(passwords[name] for passwords in generations) for name in generations[0]}


def render_server_users(passwords: Mapping[str, Sequence[str]]) -> str:
    """Return the accounts of the servers.

    Args:
        passwords: accepted passwords by account: services and the constants of this module.
    """
    queue_commands = _allowed(QUEUE_COMMANDS)
    return _users(
        {
            name: (values, _SERVER_RULES.get(name) or f"~{queue_keys_pattern(name)} {queue_commands}")
            for name, values in passwords.items()
        }
    )


def render_sentinel_users(passwords: Mapping[str, Sequence[str]]) -> str:
    """Return the accounts of the Sentinels.

    Args:
        passwords: as of the servers; replicas have no account here.
    """
    return _users(
        {
            name: (values, _SENTINEL_RULES.get(name) or _allowed(SENTINEL_COMMANDS))
            for name, values in passwords.items()
            if name != REPLICATION
        }
    )


def _allowed(commands: Sequence[str]) -> str:
    return " ".join(f"+{command}" for command in commands)


def _users(accounts: Mapping[str, tuple[Sequence[str], str]]) -> str:
    """Return an access control list from the passwords and rules of each account."""
    lines = ["user default off resetpass resetkeys resetchannels -@all"]
    for name, (passwords, rules) in sorted(accounts.items()):
        hashes = " ".join(f"#{hashlib.sha256(password.encode()).hexdigest()}" for password in passwords)
        lines.append(f"user {name} on {hashes} {rules}")
    return "\n".join(lines) + "\n"
