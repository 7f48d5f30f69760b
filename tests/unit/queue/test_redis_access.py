"""Commands of the queue's scripts, compared with those that a service's account may run."""

from __future__ import annotations

import re

from services.contracts.redis_access import QUEUE_COMMANDS
from services.kit.queue.lua_scripts import SCRIPTS

_CLIENT_COMMANDS = {"eval", "evalsha", "ping", "blpop", "hset", "lpush"}
"""Commands that `RedisQueue` and `RedisClient` send themselves."""


def test_account_of_a_service_may_run_exactly_what_it_runs() -> None:
    calls = re.compile(r"""call\('([A-Z]+)'""")
    commands = {name.lower() for script in SCRIPTS.values() for name in calls.findall(script.text)}
    assert set(QUEUE_COMMANDS) == commands | _CLIENT_COMMANDS
