"""The traffic process around its clients: cleaning up in any case, and stored writes that cannot be read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from chaos.traffic import __main__ as traffic
from chaos.traffic.open_loop import Stream, StreamLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FakeClient:
    """Client of a store that can fail to open or to list its content."""

    passive: Sequence[StreamLog] = ()

    def __init__(self, *, can_read: bool = True) -> None:
        self.closed = False
        self._can_read = can_read

    async def open(self) -> None:
        """See `Client.open`."""

    def streams(self) -> Sequence[Stream]:
        """See `Client.streams`."""
        return ()

    async def stored_sequence(self) -> Mapping[str, Sequence[int]]:
        """See `Client.stored_sequence`."""
        if not self._can_read:
            raise ConnectionError("no primary")
        return {"store.write": [1, 2]}

    async def close(self) -> None:
        """See `Client.close`."""
        self.closed = True


async def test_store_that_cannot_be_read_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "HISTORY_TIMEOUT_SECONDS", 0.0)
    stored, problems = await traffic._stored_sequences([FakeClient(can_read=False), FakeClient()])
    assert stored == {"store.write": [1, 2]}
    assert problems == ["stored writes of FakeClient: ConnectionError: no primary"]


class FailingClient(FakeClient):
    """Client of a store that accepts no write."""

    def streams(self) -> Sequence[Stream]:
        """See `Client.streams`."""

        async def fail(sequence: int) -> None:
            raise ConnectionError(sequence)

        return (Stream(StreamLog("store.write"), fail, period=0.01),)


async def test_failed_attempts_are_reported_while_the_traffic_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, reports = asyncio.StreamReader(), []

    def emit(kind: str, value: dict[str, tuple[int, int]]) -> None:
        reports.append(kind)
        if kind == "attempts" and value["store.write"][1] > 0:
            reader.feed_data(b"\n")

    monkeypatch.setattr(traffic, "emit", emit)
    monkeypatch.setattr(traffic, "REPORT_INTERVAL_SECONDS", 0.05)
    async with asyncio.timeout(20):
        await traffic.run([FailingClient()], reader)
    assert (reports[0], reports[-1]) == ("ready", "result")


async def test_clients_delete_their_data_when_the_experiment_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    client, reader = FakeClient(), asyncio.StreamReader()
    reader.feed_eof()
    monkeypatch.setattr(traffic, "emit", lambda *_: None)
    with pytest.raises(SystemExit):
        await traffic.run([client], reader)
    assert client.closed
