"""Redis client: finds the primary through Sentinel, bounds every call, maps transient errors."""

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
_TRANSIENT_ERRORS = (OutOfMemoryError, ReadOnlyError, MasterDownError, ClusterDownError, TryAgainError)
"""Errors of a server that is full, isolated, starting or being replaced."""
_TRANSIENT_PREFIXES = ("NOREPLICAS", "MISCONF", "LOADING", "BUSY", "UNKILLABLE")
"""The same, where the library has no class."""


class RedisClient:
    """The primary, with one deadline over all waits of a call."""

    def __init__(self, client: Redis, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds

    async def call(self, operation: Callable[[Redis], Awaitable[Result]], description: str) -> Result:
        """Run an operation.

        Args:
            operation: makes the call.
            description: subject of the call, for the error.

        Returns:
            Result of the operation.

        Raises:
            TemporaryError: no primary, no connection, no answer in time, or a transient error.
        """
        return await self._run_with_deadline(self._timeout_seconds, operation, description)

    async def blocking_pop(self, key: str, timeout_seconds: float) -> None:
        """Wait until a list has an element and remove it (BLPOP), or until the timeout.

        Args:
            key: key of the list.
            timeout_seconds: longest wait in seconds.

        Raises:
            TemporaryError: see `call`.
        """
        wait = max(0.01, timeout_seconds)
        await self._run_with_deadline(
            wait + self._timeout_seconds,
            lambda client: _awaitable(client.blpop([key], timeout=wait)),
            f"list {key}",
        )

    async def readiness_problem(self) -> str | None:
        """Return why Redis cannot be used, or None; see `Health.add`."""
        try:
            await self.call(lambda client: _awaitable(client.ping()), "ping")
        except TemporaryError as error:
            return str(error)
        return None

    async def _run_with_deadline(
        self, timeout_seconds: float, operation: Callable[[Redis], Awaitable[Result]], description: str
    ) -> Result:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await operation(self._client)
        except (TimeoutError, RedisTimeoutError) as error:
            raise TemporaryError(
                f"{description}: Redis did not answer within {timeout_seconds:.1f} s"
            ) from error
        except ResponseError as error:
            if isinstance(error, _TRANSIENT_ERRORS) or str(error).startswith(_TRANSIENT_PREFIXES):
                raise TemporaryError(
                    f"{description}: Redis returned a transient error: {str(error)[:100]}"
                ) from error
            raise
        except (RedisError, OSError) as error:
            raise TemporaryError(f"{description}: Redis is unavailable: {type(error).__name__}") from error


def _awaitable(response: Any) -> Awaitable[Any]:  # noqa: ANN401 - the library types responses for both kinds of client
    """Narrow the type: this client is the asynchronous one."""
    awaitable: Awaitable[Any] = response
    return awaitable


@asynccontextmanager
async def open_redis(process: ProcessSettings, settings: RedisSettings) -> AsyncIterator[RedisClient]:
    """Open a client of the primary for the duration of the block; Redis need not be available yet.

    Args:
        process: names the CA file.
        settings: addresses, account and timeouts.

    Yields:
        The client.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": settings.redis_timeout_seconds,
        # Longer than any blocking call; each call has its own deadline.
        "socket_timeout": settings.redis_timeout_seconds + settings.redis_long_poll_seconds,
        # A failover may break a pooled connection: retry once on a new one.
        "retry": Retry(ExponentialWithJitterBackoff(cap=0.1, base=0.02), 1, (RedisConnectionError,)),
        "health_check_interval": 10,
        "max_connections": settings.redis_max_connections,
    }
    if process.ca_file:
        options |= {"ssl": True, "ssl_ca_certs": str(process.ca_file)}
    primary, *others = _clients(settings, options)
    try:
        yield RedisClient(primary, timeout_seconds=settings.redis_timeout_seconds)
    finally:
        for client in (primary, *others):
            await client.aclose()


def _clients(settings: RedisSettings, options: dict[str, Any]) -> list[Redis]:
    """Return the client of the single server or of the primary, followed by those of the Sentinels."""
    if settings.redis_username and settings.redis_password:
        password = settings.redis_password.get_secret_value()
        options = options | {"username": settings.redis_username, "password": password}
    if not settings.redis_sentinels:
        host, _, port = settings.redis_server.rpartition(":")
        return [Redis(host=host, port=int(port), **options)]
    addresses = [address.rpartition(":") for address in settings.redis_sentinels.split(",")]
    sentinel_options = {name: value for name, value in options.items() if name != "max_connections"}
    # They are queried one after the other: one that is silent must leave time for the others in a call.
    timeout = settings.redis_timeout_seconds / 4
    sentinel_options["socket_timeout"] = sentinel_options["socket_connect_timeout"] = timeout
    sentinel_options["retry"] = Retry(NoBackoff(), 0)
    sentinels = Sentinel([(host, int(port)) for host, _, port in addresses], sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]  # the library types its methods only
    primary: Redis = sentinels.master_for(settings.redis_master, **options)
    return [primary, *sentinels.sentinels]
