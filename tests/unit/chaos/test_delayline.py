"""A line keeps order and time, whatever the jitter, and loses what is too much."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import delayline
from chaos.delayline import Line


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        far.setblocking(False)  # noqa: FBT003 - its only form
        yield near, far


def received(far: socket.socket) -> list[bytes]:
    frames = []
    while True:
        try:
            frames.append(far.recv(100))
        except BlockingIOError:
            return frames


def test_a_frame_waits_for_its_time(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    line = Line(-1, near.fileno(), seconds=0.05, jitter=0.0)
    line.put(b"one", now=10.0)
    line.put(b"two", now=10.01)
    assert line.due == pytest.approx(10.05)
    line.send(10.049)
    assert received(far) == []
    line.send(10.055)
    assert received(far) == [b"one"]
    line.send(10.07)
    assert received(far) == [b"two"]
    assert line.due is None


def test_jitter_stays_within_its_bounds_and_lets_nobody_overtake(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    near, far = ends
    line = Line(-1, near.fileno(), seconds=0.05, jitter=0.05)
    sent = [f"{number:03}".encode() for number in range(100)]
    for number, frame in enumerate(sent):
        line.put(frame, now=10 + number / 1000)
    line.send(10.0 + 0.099 + 0.1)
    assert received(far) == sent


def test_a_full_line_loses_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delayline, "QUEUE_FRAMES", 1)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        far.setblocking(False)  # noqa: FBT003 - its only form
        line = Line(-1, near.fileno(), seconds=0.0, jitter=0.0)
        line.put(b"one", now=1.0)
        line.put(b"two", now=1.0)
        line.send(2.0)
        assert received(far) == [b"one"]


def test_a_line_that_never_began_is_stopped_at_once(tmp_path: Path) -> None:
    delayline.stop(tmp_path / "none.pid")


def test_stop_ends_who_holds_the_lock_and_nobody_else(tmp_path: Path) -> None:
    pidfile = tmp_path / "line.pid"
    pidfile.write_text(str(os.getpid()))  # of a line long dead; the number is somebody else's now
    delayline.stop(pidfile)
    assert not pidfile.exists()
    hold = (
        "import fcntl, os, sys, time\nfile = open(sys.argv[1], 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(str(os.getpid())); file.flush(); print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(pidfile)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        delayline.stop(pidfile)
        assert holder.wait(timeout=5) == -9
    assert not pidfile.exists()


def test_a_second_line_on_the_same_wire_is_refused(tmp_path: Path) -> None:
    pidfile = tmp_path / "line.pid"
    with pidfile.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            delayline.start(pidfile, "none", "none", "none", (1.0, 0.0))
