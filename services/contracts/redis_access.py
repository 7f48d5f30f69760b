"""Access to Redis: the keys of the job queues, and the commands that a service's account may run.

Redis rejects every other key and command. `tests/unit/queue` compares the commands with the scripts.
"""

from __future__ import annotations

QUEUE_COMMANDS = (
    *("eval", "evalsha", "time", "ping"),
    *("hdel", "hget", "hincrby", "hmget", "hset"),
    *("blpop", "llen", "lpush"),
    *("zadd", "zcard", "zcount", "zlexcount", "zrange", "zrangebylex", "zrangebyscore"),
    *("zrem", "zremrangebyscore", "zscore"),
)
"""Commands of a service on the servers: those of the queue's scripts, and those of its client."""
SENTINEL_COMMANDS = ("ping", "sentinel|masters")
"""Commands of a service on the Sentinels: what the client library uses to find the primary."""


def queue_key(domain: str, kind: str, key: str) -> str:
    """Return a key of a queue; all keys of a queue share a slot of a cluster.

    Args:
        domain: service that owns the queue.
        kind: class of work.
        key: name of the key within the queue.
    """
    return f"esq:queue:{{{domain}.{kind}}}:{key}"


def queue_keys_pattern(domain: str) -> str:
    """Return the pattern of all queue keys of a service."""
    return queue_key(domain, "*", "*")
