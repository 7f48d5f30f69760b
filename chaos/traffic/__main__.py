"""Traffic process: reads commands from standard input and writes results to standard output.

Input: one line of JSON with the endpoints and the requested clients, then lines with a new key of the bearer
tokens, then an empty line to stop the traffic, or `interrupt` to stop it without reading the stored writes,
which may take minutes. An end of input without these lines means that the parent is gone.

Output, one line of JSON each: `ready`, then periodically `silence` with the seconds since the last
acknowledgement of each stream and `attempts` with their numbers of acknowledged and failed attempts, then
`result`. However the traffic ends, the clients delete what they created.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from chaos.traffic.client import Endpoints, TokenClient
from chaos.traffic.open_loop import START_DELAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from chaos.traffic.client import Client
    from chaos.traffic.open_loop import Stream, StreamLog

REPORT_INTERVAL_SECONDS = 0.5
OPEN_TIMEOUT_SECONDS = 30.0
HISTORY_TIMEOUT_SECONDS = 60.0
"""After a fault a service may need this long before the stored writes can be read."""
CLOSE_TIMEOUT_SECONDS = 30.0
INTERRUPT = b"interrupt"
_RETRY_INTERVAL_SECONDS = 0.5
_THREADS = 64
_CLASSES = {
    "edge": ("chaos.traffic.edge", "EdgeTraffic"),
    "kafka": ("chaos.traffic.kafka", "KafkaTraffic"),
    "object-store": ("chaos.traffic.object_store", "ObjectStoreTraffic"),
    "postgres": ("chaos.traffic.postgres", "PostgresTraffic"),
    "redis": ("chaos.traffic.redis", "RedisTraffic"),
}
Result = TypeVar("Result")


class Ending(Enum):
    """How the traffic ends."""

    STOPPED = auto()
    INTERRUPTED = auto()
    """The stored writes are not read."""
    ABANDONED = auto()
    """The parent is gone."""


def clients(names: Sequence[str], endpoints: Endpoints) -> list[Client]:
    """Return clients; each client library is imported only when it is used.

    Args:
        names: names of the clients.
        endpoints: endpoints and credentials.
    """
    return [
        getattr(import_module(module), name)(endpoints)
        for module, name in (_CLASSES[client] for client in names)
    ]


def emit(kind: str, value: object) -> None:
    """Write one line for the parent process.

    Args:
        kind: `ready`, `silence`, `attempts` or `result`.
        value: its value.
    """
    sys.stdout.write(json.dumps({kind: value}) + "\n")
    sys.stdout.flush()


async def retry_until(
    deadline_seconds: float, description: str, call: Callable[[], Awaitable[Result]]
) -> Result:
    """Call until it succeeds.

    Args:
        deadline_seconds: seconds after which no further attempt starts.
        description: subject of the call, for the error.
        call: the function.

    Returns:
        The result of the first successful call.

    Raises:
        TimeoutError: no call succeeded in time; the message contains the last failure.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + deadline_seconds
    while True:
        try:
            async with asyncio.timeout(deadline_seconds):
                return await call()
        except Exception as error:
            if clock() > deadline:
                raise TimeoutError(f"{description}: {type(error).__name__}: {error}") from error
        await asyncio.sleep(_RETRY_INTERVAL_SECONDS)


async def main() -> None:
    """Run the traffic requested on standard input."""
    loop = asyncio.get_running_loop()
    # Names are resolved in threads: too few threads would queue the lookups.
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="dns"))
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    request = json.loads(await reader.readline())
    await run(clients(request["clients"], Endpoints.model_validate(request["endpoints"])), reader)


async def run(opened: Sequence[Client], reader: asyncio.StreamReader) -> None:
    """Run the traffic of the clients until the commands end, then close the clients.

    Args:
        opened: the clients.
        reader: commands from the parent.

    Raises:
        SystemExit: the parent is gone.
    """
    try:
        for client in opened:
            await retry_until(OPEN_TIMEOUT_SECONDS, type(client).__name__, client.open)
        streams = [stream for client in opened for stream in client.streams()]
        passive = [log for client in opened for log in client.passive]
        ending = await _run_streams(streams, passive, _read_commands(reader, opened))
        stored, problems = await _stored_sequences(opened) if ending is Ending.STOPPED else ({}, [])
        logs = {log.name: _log_to_json(log) for log in _logs(streams, passive)}
        emit("result", {"streams": logs, "stored": stored, "problems": problems})
    finally:
        await asyncio.gather(*(_close(client) for client in opened))


async def _close(client: Client) -> None:
    """Delete what the client created. The next run deletes what is left after a failure."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
            await client.close()


async def _read_commands(reader: asyncio.StreamReader, opened: Sequence[Client]) -> Ending:
    """Pass new keys to the clients until the traffic ends; return how."""
    while (line := await reader.readline()).strip():
        if line.strip() == INTERRUPT:
            return Ending.INTERRUPTED
        for client in opened:
            if isinstance(client, TokenClient):
                client.use_token_key(json.loads(line)["token_key"])
    return Ending.STOPPED if line else Ending.ABANDONED


async def _run_streams(
    streams: Sequence[Stream], passive: Sequence[StreamLog], commands: Coroutine[None, None, Ending]
) -> Ending:
    """Run all streams until the commands end; return how.

    Raises:
        SystemExit: standard input ended without the command to stop.
    """
    clock, stop = asyncio.get_running_loop().time, asyncio.Event()
    start = clock() + START_DELAY_SECONDS
    for log in passive:
        log.started_at = start
    emit("ready", start)
    tasks = [asyncio.create_task(stream.run(start, stop), name=stream.log.name) for stream in streams]
    stopped = asyncio.create_task(commands)
    while not (await asyncio.wait({stopped}, timeout=REPORT_INTERVAL_SECONDS))[0]:
        emit("silence", {log.name: round(log.silence(clock()), 2) for log in _logs(streams, passive)})
        emit("attempts", {stream.log.name: stream.log.attempts for stream in streams})
    stop.set()
    await asyncio.gather(*tasks)
    if stopped.result() is Ending.ABANDONED:
        raise SystemExit(1)
    return stopped.result()


async def _stored_sequences(opened: Sequence[Client]) -> tuple[dict[str, Sequence[int]], list[str]]:
    """Return the stored writes by stream, and a problem for each client that cannot read them."""
    results = await asyncio.gather(*(_stored_sequence(client) for client in opened), return_exceptions=True)
    stored: dict[str, Sequence[int]] = {}
    for result in results:
        stored |= {} if isinstance(result, BaseException) else result
    return stored, [str(result) for result in results if isinstance(result, BaseException)]


async def _stored_sequence(client: Client) -> Mapping[str, Sequence[int]]:
    description = f"stored writes of {type(client).__name__}"
    return await retry_until(HISTORY_TIMEOUT_SECONDS, description, client.stored_sequence)


def _logs(streams: Sequence[Stream], passive: Sequence[StreamLog]) -> list[StreamLog]:
    return [*(stream.log for stream in streams), *passive]


def _log_to_json(log: StreamLog) -> dict[str, object]:
    return {
        "started_at": log.started_at,
        "acked": log.acked,
        "failed": log.failed,
        "errors": dict(log.errors.most_common(5)),
        "dropped": log.dropped,
        "late": log.late,
        "period": log.period,
        "corrupt": log.corrupt,
        "stale": log.stale,
    }


if __name__ == "__main__":
    asyncio.run(main())
