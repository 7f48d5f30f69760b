"""A long wire: takes a port out of its bridge, puts a tap in its place, and carries frames across later.

For kernels without `sch_netem`. Run as a program; it imports nothing of ours, so that it starts at once:

    delayline.py start PIDFILE PORT TAP BRIDGE MILLISECONDS JITTER
    delayline.py stop PIDFILE

`start` returns when frames flow; the line goes on in the background, holds a lock on PIDFILE as long as it
lives, and ends by itself when its port or tap is taken away. The tap vanishes with it; `stop` does not put
the port back into the bridge, as that must be done as well when the line was killed.

The order of frames is kept, so that jitter alone looks like no loss to TCP. Each direction holds
`QUEUE_FRAMES` at most; what comes beyond is dropped, as a router would.

Pings through a line of 20 ms took 41.1 ms on average, 0.5 ms more than asked each way. How much
it can carry has not been measured.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

QUEUE_FRAMES = 50_000
FRAME_BYTES = 65_550
BATCH = 64
"""Frames taken from one side before the other has its turn."""
STOP_SECONDS = 5.0
_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x0002 | 0x1000
_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_BUFFER = 4 << 20
_SO_RCVBUFFORCE = 33


class Line:
    """One direction: frames wait here until they are due.

    Args:
        source: descriptor they are read from.
        sink: descriptor they are written to.
        seconds: delay.
        jitter: seconds by which the delay varies to either side.
    """

    def __init__(self, source: int, sink: int, seconds: float, jitter: float) -> None:
        self.source = source
        self._sink = sink
        self._seconds = seconds
        self._jitter = jitter
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._last = 0.0

    @property
    def due(self) -> float | None:
        """When the first frame is due on the monotonic clock; None when none waits."""
        return self._waiting[0][0] if self._waiting else None

    def take(self) -> None:
        """Take what has arrived."""
        for _ in range(BATCH):
            try:
                frame = os.read(self.source, FRAME_BYTES)
            except BlockingIOError:
                return
            self.put(frame, time.monotonic())

    def put(self, frame: bytes, now: float) -> None:
        """Let `frame` wait; it overtakes none."""
        if len(self._waiting) >= QUEUE_FRAMES:
            return
        delay = self._seconds + random.uniform(-self._jitter, self._jitter)  # noqa: S311 - nobody guesses it
        self._last = max(self._last, now + delay)
        self._waiting.append((self._last, frame))

    def send(self, now: float) -> None:
        """Send what is due."""
        while self._waiting and self._waiting[0][0] <= now:
            # A full far end loses the frame, as a wire would; one that is gone is seen by `take`.
            with suppress(OSError):
                os.write(self._sink, self._waiting.popleft()[1])


def carry(lines: tuple[Line, ...], port: str, tap: str) -> None:
    """Carry frames until the port or the tap is gone."""
    sources = [line.source for line in lines]
    while True:
        due = [line.due for line in lines if line.due is not None]
        # select, as it alone waits for less than a millisecond.
        wait = max(0.0, min(due) - time.monotonic()) if due else 1.0
        readable, _, _ = select.select(sources, [], [], wait)
        for line in lines:
            if line.source in readable:
                try:
                    line.take()
                except OSError:
                    if not (_there(port) and _there(tap)):
                        return
            line.send(time.monotonic())


def open_tap(name: str) -> int:
    """Make the tap `name` and return its descriptor; it is gone when that is closed."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP_NO_PI))
    return tap


def open_port(name: str) -> socket.socket:
    """Return a socket that hears what comes in at `name`, and sends out there."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    os.set_blocking(port.fileno(), False)
    port.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    port.bind((name, _ETH_P_ALL))
    return port


def start(pidfile: Path, port: str, tap: str, bridge: str, delay: tuple[float, float]) -> None:
    """Lay the line and leave it behind in the background.

    Args:
        pidfile: locked while the line lives.
        port: whose frames are delayed.
        tap: name of the interface that takes its place in the bridge.
        bridge: that the port is in.
        delay: milliseconds, and by how many they vary.
    """
    lock = os.open(pidfile, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    inner, outer = open_port(port), open_tap(tap)
    # Without arp off the host would answer for its own addresses at a port that is in no bridge.
    _ip("link", "set", port, "nomaster", "arp", "off")
    _ip("link", "set", tap, "master", bridge, "up")
    if os.fork():
        os._exit(0)  # the child has the lock, the socket and the tap
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.truncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    seconds, jitter = (each / 1000 for each in delay)
    there, back = Line(inner.fileno(), outer, seconds, jitter), Line(outer, inner.fileno(), seconds, jitter)
    carry((there, back), port, tap)


def stop(pidfile: Path) -> None:
    """End the line; one that has ended, or never began, is fine."""
    try:
        lock = os.open(pidfile, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    deadline = time.monotonic() + STOP_SECONDS
    while not _locked(lock):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the delay line of {pidfile} does not end")
        with suppress(ValueError, ProcessLookupError):  # it is about to write its number, or has just ended
            os.kill(int(pidfile.read_text()), signal.SIGKILL)
        time.sleep(0.02)
    pidfile.unlink(missing_ok=True)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _there(device: str) -> bool:
    try:
        socket.if_nametoindex(device)
    except OSError:
        return False
    return True


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def main(verb: str, pidfile: str, *words: str) -> None:
    """Do what the command line says."""
    if verb == "stop":
        stop(Path(pidfile))
    else:
        port, tap, bridge, milliseconds, jitter = words
        start(Path(pidfile), port, tap, bridge, (float(milliseconds), float(jitter)))


if __name__ == "__main__":
    main(*sys.argv[1:])
