"""What all stores share: a data folder on the disk, a start, and writers until the power is cut."""

from __future__ import annotations

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tests.servers.powered_disk import MOUNT_POINT
from tests.servers.process import Server, free_port

if TYPE_CHECKING:
    from tests.servers.powered_disk import PoweredDisk

START_TIMEOUT_SECONDS = 60.0
WRITE_TIMEOUT_SECONDS = 5.0
SETTLE_SECONDS = 0.2
"""Time after the cut in which a server could still acknowledge what it cannot store."""


class DurableStore(ABC):
    """A store on a disk.

    Args:
        disk: the disk.
        folder: folder on the host for logs and configuration files.
        durable: False for a store that does not sync, which shows that a cut is real.
    """

    name: ClassVar[str]
    writers: ClassVar[int] = 16
    """Concurrent writers."""

    def __init__(self, disk: PoweredDisk, folder: Path, *, durable: bool = True) -> None:
        self.disk, self.folder, self.durable = disk, folder, durable
        self.port = free_port()
        self.server = Server(self.name, folder / f"{self.name}.log")
        self.data = f"{MOUNT_POINT}/{self.name}"

    def start(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Start the server on its data; create the data if there is none.

        Args:
            timeout_seconds: longest wait until it is ready.
        """
        if not (self.disk.root / self.name).exists():
            (self.disk.root / self.name).mkdir()
            self.create()
        self.launch()
        self.server.wait_until_ready(self.ready, timeout_seconds)

    def create(self) -> None:
        """Create the data of a new store, for those that do not create it at their first start."""
        return

    @abstractmethod
    def launch(self) -> None:
        """Start the process."""

    def ready(self) -> bool:
        """Return whether the server accepts connections."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    @abstractmethod
    async def open(self) -> None:
        """Connect the writers, and create what they write to."""

    @abstractmethod
    async def write(self, number: int) -> None:
        """Write a number; return when the server has acknowledged it."""

    @abstractmethod
    async def stored(self) -> set[int]:
        """Return all stored numbers."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    def lose_power(self) -> None:
        """End the server, whose disk has lost its power, and power the disk on again."""
        self.server.kill()
        self.disk.power_off()
        self.disk.power_on()


async def write_until_power_loss(store: DurableStore, count: int) -> tuple[set[int], float]:
    """Write concurrently, cut the power in the middle of it, and kill the server.

    Args:
        store: a running store.
        count: acknowledged writes before the cut.

    Returns:
        The acknowledged numbers, and acknowledged writes per second before the cut.
    """
    acknowledged: set[int] = set()
    numbers = iter(range(1 << 30))
    enough, powerless = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        # A client library may swallow the cancellation.
        while not powerless.is_set():
            number = next(numbers)
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                    await store.write(number)
            except Exception:  # noqa: BLE001 - not acknowledged, for whatever reason
                await asyncio.sleep(SETTLE_SECONDS)
                continue
            acknowledged.add(number)
            if len(acknowledged) >= count:
                enough.set()

    await store.open()
    started_at = time.monotonic()
    tasks = [asyncio.create_task(write()) for _ in range(store.writers)]
    await enough.wait()
    rate = len(acknowledged) / (time.monotonic() - started_at)
    await asyncio.to_thread(store.disk.commit_journal)
    await asyncio.to_thread(store.disk.cut_power)
    await asyncio.sleep(SETTLE_SECONDS)
    powerless.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(Exception):  # its server has lost its disk
        await store.close()
    await asyncio.to_thread(store.lose_power)
    return acknowledged, rate


async def stored_after_restart(
    store: DurableStore, timeout_seconds: float = START_TIMEOUT_SECONDS
) -> set[int]:
    """Start the store again and return all stored numbers.

    Args:
        store: a store that lost its power.
        timeout_seconds: longest wait until it is ready.
    """
    await asyncio.to_thread(store.start, timeout_seconds)
    await store.open()
    try:
        return await store.stored()
    finally:
        await store.close()
