"""The traffic process: told on standard input what to do and when to stop, it tells on standard output.

In: one line of JSON with the endpoints and the clients that are wanted, then a line when traffic has to stop;
an end of input without it means that whoever wanted to know is gone. Out: `ready`, then once in a while the
seconds since each lane's last acknowledgement, then the result, each as one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from chaos.traffic.client import Endpoints

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from chaos.traffic.client import Client
    from chaos.traffic.timetable import Lane, Log

TELL_SECONDS = 0.5
OPEN_SECONDS = 30.0
HISTORY_SECONDS = 60.0
"""A service may need so long to be whole again after the fault before what it holds can be read."""
CLOSE_SECONDS = 30.0
_THREADS = 64
LEAD_SECONDS = 0.2
"""Between saying `ready` and the first attempt."""


def clients(names: Sequence[str], endpoints: Endpoints) -> list[Client]:
    """Return the clients called `names`; each library is loaded only when it is used."""
    from chaos.traffic.edge import EdgeTraffic  # noqa: PLC0415 - see above
    from chaos.traffic.kafka import KafkaTraffic  # noqa: PLC0415
    from chaos.traffic.objects import ObjectsTraffic  # noqa: PLC0415
    from chaos.traffic.postgres import PostgresTraffic  # noqa: PLC0415
    from chaos.traffic.redis import RedisTraffic  # noqa: PLC0415

    makers: dict[str, Callable[[Endpoints], Client]] = {
        "edge": EdgeTraffic,
        "kafka": KafkaTraffic,
        "objects": ObjectsTraffic,
        "postgres": PostgresTraffic,
        "redis": RedisTraffic,
    }
    return [makers[name](endpoints) for name in names]


def tell(what: str, value: object) -> None:
    """Print one line for whoever started this process."""
    sys.stdout.write(json.dumps({what: value}) + "\n")
    sys.stdout.flush()


async def insist(what: str, call: Callable[[], Awaitable[object]], seconds: float) -> object:
    """Call until it succeeds; after `seconds` the last failure is raised."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while True:
        try:
            async with asyncio.timeout(seconds):
                return await call()
        except Exception as error:
            if clock() > deadline:
                raise TimeoutError(f"{what}: {type(error).__name__}: {error}") from error
        await asyncio.sleep(0.5)


async def main() -> None:
    """Run the traffic that standard input asks for."""
    loop = asyncio.get_running_loop()
    # Names are resolved in threads: few of them would be a queue of its own.
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="names"))
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    wanted = json.loads(await reader.readline())
    found = clients(wanted["clients"], Endpoints.model_validate(wanted["endpoints"]))
    for client in found:
        await insist(type(client).__name__, client.open, OPEN_SECONDS)
    lanes = [lane for client in found for lane in client.lanes()]
    passive = [log for client in found for log in client.passive]
    await _drive(lanes, passive, reader)
    history: dict[str, Sequence[int]] = {}
    for client in found:
        history |= await _history(client)
    tell("result", {"lanes": {log.name: _plain(log) for log in _logs(lanes, passive)}, "history": history})
    for client in found:
        with contextlib.suppress(Exception):  # what is left is named after the run, and hurts nobody
            async with asyncio.timeout(CLOSE_SECONDS):
                await client.close()


async def _drive(lanes: Sequence[Lane], passive: Sequence[Log], reader: asyncio.StreamReader) -> None:
    clock, stop = asyncio.get_running_loop().time, asyncio.Event()
    start = clock() + LEAD_SECONDS
    for log in passive:
        log.begun = start
    tell("ready", start)
    driving = [asyncio.create_task(lane.drive(start, stop), name=lane.log.name) for lane in lanes]
    asked = asyncio.create_task(reader.readline())
    while not (await asyncio.wait({asked}, timeout=TELL_SECONDS))[0]:
        tell("silence", {log.name: round(log.silence(clock()), 2) for log in _logs(lanes, passive)})
    stop.set()
    await asyncio.gather(*driving)
    if not asked.result():
        raise SystemExit(1)


async def _history(client: Client) -> Mapping[str, Sequence[int]]:
    found = await insist(f"history of {type(client).__name__}", client.history, HISTORY_SECONDS)
    return found if isinstance(found, dict) else {}


def _logs(lanes: Sequence[Lane], passive: Sequence[Log]) -> list[Log]:
    return [*(lane.log for lane in lanes), *passive]


def _plain(log: Log) -> dict[str, object]:
    return {
        "begun": log.begun,
        "acked": log.acked,
        "failed": log.failed,
        "errors": dict(log.errors.most_common(5)),
        "dropped": log.dropped,
        "late": log.late,
    }


if __name__ == "__main__":
    asyncio.run(main())
