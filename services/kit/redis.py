"""Redis: found through its Sentinels, every call bounded, every failure that may pass a `TemporaryError`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.kit.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from services.kit.settings import ProcessSettings, RedisSettings

Result = TypeVar("Result")
_PASSING = (OutOfMemoryError, ReadOnlyError, MasterDownError, ClusterDownError, TryAgainError)
"""Refusals of a server that is full, cut off, starting or being replaced."""
_PASSING_WORDS = ("NOREPLICAS", "MISCONF", "LOADING", "BUSY", "UNKILLABLE")
"""The same, where the library has no class for it."""


class Connection:
    """The primary, with one deadline over everything that a call may wait for."""

    def __init__(self, client: Redis, *, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    async def call(self, ask: Callable[[Redis], Awaitable[Result]], what: str) -> Result:
        """Ask the server.

        Args:
            ask: makes the call.
            what: it is about, for the error.

        Raises:
            TemporaryError: no primary, no connection, no answer in time, or one that will be another later.
        """
        return await self._within(self._seconds, ask, what)

    async def block(self, key: str, seconds: float) -> None:
        """Wait until a list holds something and take it, or until so many seconds have passed."""
        wait = max(0.01, seconds)
        await self._within(
            wait + self._seconds, lambda client: _awaitable(client.blpop([key], timeout=wait)), f"list {key}"
        )

    async def reason(self) -> str | None:
        """Return why Redis cannot be used, or None; see `Health.add`."""
        try:
            await self.call(lambda client: _awaitable(client.ping()), "ping")
        except TemporaryError as error:
            return str(error)
        return None

    async def _within(self, seconds: float, ask: Callable[[Redis], Awaitable[Result]], what: str) -> Result:
        try:
            async with asyncio.timeout(seconds):
                return await ask(self._client)
        except (TimeoutError, RedisTimeoutError) as error:
            raise TemporaryError(f"{what}: Redis did not answer in {seconds:.1f} s") from error
        except ResponseError as error:
            if isinstance(error, _PASSING) or str(error).startswith(_PASSING_WORDS):
                raise TemporaryError(f"{what}: Redis refuses for now: {str(error)[:100]}") from error
            raise
        except (RedisError, OSError) as error:
            raise TemporaryError(f"{what}: Redis is away: {type(error).__name__}") from error


def _awaitable(answer: Any) -> Awaitable[Any]:  # noqa: ANN401 - the library types answers for both kinds of client
    """Say that this client is the asynchronous one."""
    waits: Awaitable[Any] = answer
    return waits


@asynccontextmanager
async def open_redis(process: ProcessSettings, settings: RedisSettings) -> AsyncIterator[Connection]:
    """Give the primary for as long as the block lasts; it need not be there yet."""
    options: dict[str, Any] = {
        "socket_connect_timeout": settings.redis_seconds,
        # Longer than any wait for an arrival; each call has its own deadline.
        "socket_timeout": settings.redis_seconds + settings.redis_arrival_seconds,
        # A pooled connection may be broken by a failover: one more try, on a new one.
        "retry": Retry(ExponentialWithJitterBackoff(cap=0.1, base=0.02), 1, (RedisConnectionError,)),
        "health_check_interval": 10,
        "max_connections": settings.redis_connections,
    }
    if process.ca_file:
        options |= {"ssl": True, "ssl_ca_certs": str(process.ca_file)}
    primary, *others = _clients(settings, options)
    try:
        yield Connection(primary, seconds=settings.redis_seconds)
    finally:
        for client in (primary, *others):
            await client.aclose()


def _clients(settings: RedisSettings, options: dict[str, Any]) -> list[Redis]:
    """Return the client of one server, or of whom the Sentinels call the primary, and those of Sentinels."""
    password = settings.redis_password.get_secret_value() if settings.redis_password else None
    if not settings.redis_sentinels:
        host, _, port = settings.redis_server.rpartition(":")
        return [Redis(host=host, port=int(port), password=password, **options)]
    known = [each.rpartition(":") for each in settings.redis_sentinels.split(",")]
    own = {name: value for name, value in options.items() if name != "max_connections"}
    # They are asked one after the other: one that is dead or mute leaves time for the others within a call.
    own["socket_timeout"] = own["socket_connect_timeout"] = settings.redis_seconds / 4
    own["retry"] = Retry(NoBackoff(), 0)
    if settings.redis_sentinel_password:
        own["password"] = settings.redis_sentinel_password.get_secret_value()
    sentinels = Sentinel([(host, int(port)) for host, _, port in known], sentinel_kwargs=own)  # type: ignore[no-untyped-call]  # the library types its methods only
    primary: Redis = sentinels.master_for(settings.redis_master, password=password, **options)
    return [primary, *sentinels.sentinels]
