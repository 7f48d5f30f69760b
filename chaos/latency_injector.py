"""Latency injector: replaces a port of a bridge by a tap and forwards frames between them with a delay.

For kernels without `sch_netem`. It runs as a program and imports no other module of esq, so that it starts
fast:

    latency_injector.py start PIDFILE PORT TAP BRIDGE MILLISECONDS JITTER
    latency_injector.py stop PIDFILE

`start` returns when frames are forwarded. The injector continues in the background, holds a lock on PIDFILE
while it runs, and exits when its port or tap is removed. The tap disappears with it. `stop` does not return
the port to the bridge, because that is also needed after the injector was killed.

The order of frames is kept, so that TCP does not interpret jitter as loss. Each direction queues
`QUEUE_FRAMES` at most; further frames are dropped, as by a router.

Pings through a delay of 20 ms took 41.1 ms on average: 0.5 ms more than requested in each direction. The
maximum throughput has not been measured.
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
BATCH_FRAMES = 64
"""Frames read from one side before the other side is served."""
STOP_TIMEOUT_SECONDS = 5.0
_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x0002 | 0x1000
_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_BUFFER = 4 << 20
_SO_RCVBUFFORCE = 33


class DelayQueue:
    """Frames of one direction, queued until they are due.

    Args:
        source: file descriptor that frames are read from.
        sink: file descriptor that frames are written to.
        seconds: delay.
        jitter: maximum deviation from the delay, up or down, in seconds.
    """

    def __init__(self, source: int, sink: int, seconds: float, jitter: float) -> None:
        self.source = source
        self._sink = sink
        self._seconds = seconds
        self._jitter = jitter
        self._frames: deque[tuple[float, bytes]] = deque()
        self._last_due = 0.0

    @property
    def next_due(self) -> float | None:
        """Time at which the first frame is due (monotonic clock); None if the queue is empty."""
        return self._frames[0][0] if self._frames else None

    def read_available(self) -> None:
        """Read and queue the frames that have arrived."""
        for _ in range(BATCH_FRAMES):
            try:
                frame = os.read(self.source, FRAME_BYTES)
            except BlockingIOError:
                return
            self.put(frame, time.monotonic())

    def put(self, frame: bytes, now: float) -> None:
        """Queue a frame behind all others; drop it if the queue is full.

        Args:
            frame: the frame.
            now: time of its arrival (seconds, monotonic clock).
        """
        if len(self._frames) >= QUEUE_FRAMES:
            return
        delay = self._seconds + random.uniform(-self._jitter, self._jitter)  # noqa: S311 - not used for security
        self._last_due = max(self._last_due, now + delay)
        self._frames.append((self._last_due, frame))

    def send(self, now: float) -> None:
        """Send the frames that are due at `now`."""
        while self._frames and self._frames[0][0] <= now:
            # A full receiver loses the frame, as a link does; a missing one is detected by `read_available`.
            with suppress(OSError):
                os.write(self._sink, self._frames.popleft()[1])


def forward(queues: tuple[DelayQueue, ...], port: str, tap: str) -> None:
    """Forward frames until the port or the tap is gone.

    Args:
        queues: one queue per direction.
        port: name of the port.
        tap: name of the tap.
    """
    sources = [queue.source for queue in queues]
    while True:
        due_times = [queue.next_due for queue in queues if queue.next_due is not None]
        # Only select supports timeouts below a millisecond.
        wait = max(0.0, min(due_times) - time.monotonic()) if due_times else 1.0
        readable, _, _ = select.select(sources, [], [], wait)
        for queue in queues:
            if queue.source in readable:
                try:
                    queue.read_available()
                except OSError:
                    if not (_exists(port) and _exists(tap)):
                        return
            queue.send(time.monotonic())


def open_tap(name: str) -> int:
    """Create the tap `name` and return its file descriptor; closing it removes the tap."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP_NO_PI))
    return tap


def open_port(name: str) -> socket.socket:
    """Return a socket that receives the incoming frames of `name` and sends frames through it."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    os.set_blocking(port.fileno(), False)
    port.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    port.bind((name, _ETH_P_ALL))
    return port


def start(pidfile: Path, port: str, tap: str, bridge: str, delay: tuple[float, float]) -> None:
    """Start the injector in the background.

    Args:
        pidfile: file that is locked while the injector runs.
        port: port whose frames are delayed.
        tap: name of the interface that replaces it in the bridge.
        bridge: bridge of the port.
        delay: delay and jitter in milliseconds.
    """
    lock = os.open(pidfile, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.truncate(lock, 0)  # a process that has the id of an injector of earlier must not be killed
    port_socket, tap_fd = open_port(port), open_tap(tap)
    # Without `arp off` the host would answer ARP requests for its own addresses at a port without bridge.
    _ip("link", "set", port, "nomaster", "arp", "off")
    _ip("link", "set", tap, "master", bridge, "up")
    if os.fork():
        os._exit(0)  # the child inherits the lock, the socket and the tap
    os.setsid()
    devnull = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(devnull, stream)
    os.write(lock, str(os.getpid()).encode())
    seconds, jitter = (milliseconds / 1000 for milliseconds in delay)
    outgoing, incoming = (
        DelayQueue(port_socket.fileno(), tap_fd, seconds, jitter),
        DelayQueue(tap_fd, port_socket.fileno(), seconds, jitter),
    )
    forward((outgoing, incoming), port, tap)


def stop(pidfile: Path) -> None:
    """Stop the injector; do nothing if it has exited or never started.

    Raises:
        TimeoutError: it does not exit.
    """
    try:
        lock = os.open(pidfile, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while not _try_lock(lock):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the latency injector of {pidfile} does not exit")
        with suppress(ValueError, ProcessLookupError):  # it has not written its pid yet, or has just exited
            os.kill(int(pidfile.read_text()), signal.SIGKILL)
        time.sleep(0.02)
    pidfile.unlink(missing_ok=True)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _exists(device: str) -> bool:
    try:
        socket.if_nametoindex(device)
    except OSError:
        return False
    return True


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)


def main(action: str, pidfile: str, *args: str) -> None:
    """Run the command line.

    Args:
        action: `start` or `stop`.
        pidfile: path of the pidfile.
        args: arguments for `start`: port, tap, bridge, milliseconds, jitter.
    """
    if action == "stop":
        stop(Path(pidfile))
    else:
        port, tap, bridge, milliseconds, jitter = args
        start(Path(pidfile), port, tap, bridge, (float(milliseconds), float(jitter)))


if __name__ == "__main__":
    main(*sys.argv[1:])
