"""Latency injector: order and delay of frames with jitter, overflow, and its lifecycle."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import latency_injector
from chaos.latency_injector import DelayQueue


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sender, receiver:
        receiver.setblocking(False)  # noqa: FBT003 - takes no keyword
        yield sender, receiver


def received(receiver: socket.socket) -> list[bytes]:
    frames = []
    while True:
        try:
            frames.append(receiver.recv(100))
        except BlockingIOError:
            return frames


def test_frame_is_sent_after_its_delay(sockets: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = sockets
    queue = DelayQueue(-1, sender.fileno(), seconds=0.05, jitter=0.0)
    queue.put(b"one", now=10.0)
    queue.put(b"two", now=10.01)
    assert queue.next_due == pytest.approx(10.05)
    queue.send(10.049)
    assert received(receiver) == []
    queue.send(10.055)
    assert received(receiver) == [b"one"]
    queue.send(10.07)
    assert received(receiver) == [b"two"]
    assert queue.next_due is None


def test_jitter_keeps_its_bounds_and_the_order(sockets: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = sockets
    queue = DelayQueue(-1, sender.fileno(), seconds=0.05, jitter=0.05)
    frames = [f"{number:03}".encode() for number in range(100)]
    for number, frame in enumerate(frames):
        queue.put(frame, now=10 + number / 1000)
    queue.send(10.0 + 0.099 + 0.1)
    assert received(receiver) == frames


def test_full_queue_drops_new_frames(
    monkeypatch: pytest.MonkeyPatch, sockets: tuple[socket.socket, socket.socket]
) -> None:
    monkeypatch.setattr(latency_injector, "QUEUE_FRAMES", 1)
    sender, receiver = sockets
    queue = DelayQueue(-1, sender.fileno(), seconds=0.0, jitter=0.0)
    queue.put(b"one", now=1.0)
    queue.put(b"two", now=1.0)
    queue.send(2.0)
    assert received(receiver) == [b"one"]


def test_stop_without_start_does_nothing(tmp_path: Path) -> None:
    latency_injector.stop(tmp_path / "none.pid")


def test_stop_kills_only_the_owner_of_the_lock(tmp_path: Path) -> None:
    pidfile = tmp_path / "injector.pid"
    pidfile.write_text(str(os.getpid()))  # stale pid, now of another process
    latency_injector.stop(pidfile)
    assert not pidfile.exists()
    lock_and_sleep = (
        "import fcntl, os, sys, time\nfile = open(sys.argv[1], 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(str(os.getpid())); file.flush(); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", lock_and_sleep, str(pidfile)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        latency_injector.stop(pidfile)
        assert owner.wait(timeout=5) == -9
    assert not pidfile.exists()


def test_second_injector_of_a_port_is_rejected(tmp_path: Path) -> None:
    pidfile = tmp_path / "injector.pid"
    with pidfile.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            latency_injector.start(pidfile, "none", "none", "none", (1.0, 0.0))


def test_pid_of_an_earlier_injector_is_forgotten_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> socket.socket:
        raise OSError("no such port")

    monkeypatch.setattr(latency_injector, "open_port", fail)
    pidfile = tmp_path / "injector.pid"
    pidfile.write_text(str(os.getpid()))  # stale pid, now of another process
    with pytest.raises(OSError, match="no such port"):
        latency_injector.start(pidfile, "none", "none", "none", (1.0, 0.0))
    assert pidfile.read_text() == ""
