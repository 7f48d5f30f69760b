"""Allocations of a service from its start on: a second process of it runs under memray for some seconds.

It gets the settings of a running process, but every server that they name becomes an address that refuses
connections: it takes no work, and what it allocates is what a process costs before its first message.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from cli.actions.audit.extras import require_module
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RUN_SECONDS = 15.0
"""Starting takes a second or two of CPU time; a busy machine gives it less."""
STOP_TIMEOUT_SECONDS = 60.0
_NOWHERE = "127.0.0.1:9"
_FILE_SETTINGS = ("ESQ_CA_FILE", "ESQ_TLS_CERT", "ESQ_TLS_KEY")
"""Files of the pod, which are not on this machine."""
_SERVER = re.compile(r"(?<=//)(?P<login>[^@/]*@)?[^/?]+")
_ADDRESSES = re.compile(r"^[\w.-]+:\d+(?:,[\w.-]+:\d+)*$")
_PROJECT = Path(__file__).resolve().parents[4]
_LOG_TAIL_CHARACTERS = 500


def isolated_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a process for a second one that reaches no server.

    Args:
        environ: environment variables of the running process.
    """
    settings = {
        name: _without_server(value)
        for name, value in environ.items()
        if name.startswith("ESQ_") and name not in _FILE_SETTINGS
    }
    return {**settings, "ESQ_HOST": "127.0.0.1", "ESQ_PORT": str(_free_port()), "ESQ_GRACE_SECONDS": "0"}


def _without_server(value: str) -> str:
    if _ADDRESSES.match(value):
        return _NOWHERE
    return _SERVER.sub(lambda match: f"{match['login'] or ''}{_NOWHERE}", value)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def record_allocations(
    argv: Sequence[str], settings: Mapping[str, str], file: Path, seconds: float = RUN_SECONDS
) -> Counter[tuple[str, ...]]:
    """Run a program under memray and stop it; return the bytes at its peak by stack.

    Args:
        argv: arguments of Python, e.g. `-m services.campaigns worker`.
        settings: environment variables in addition to those of this process.
        file: file of the recording, which memray's own reports can read.
        seconds: time until it is stopped; it may end before.

    Raises:
        UsageError: memray is not installed.
        EsqError: the program recorded nothing.
    """
    require_module("memray")
    log = file.with_suffix(".log")
    command = [sys.executable, "-P", "-m", "memray", "run", "--force", "--quiet", "-o", str(file), *argv]
    environment = {**os.environ, **settings, "PYTHONPATH": str(_PROJECT), "PYTHONMALLOC": "malloc"}
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        _stop(child)
    stacks = _read(file)
    if not stacks:
        raise EsqError(
            "memray recorded nothing",
            location=str(log),
            remedy="Read the log of the program.",
            detail=log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:],
        )
    log.unlink()
    return stacks


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _read(file: Path) -> Counter[tuple[str, ...]]:
    from memray import FileReader  # noqa: PLC0415 - an extra

    stacks: Counter[tuple[str, ...]] = Counter()
    if not file.exists():
        return stacks
    with FileReader(file) as reader:
        for record in reader.get_high_watermark_allocation_records(merge_threads=True):
            frames = [f"{function} ({_short(path)})" for function, path, _ in record.stack_trace()]
            stacks[tuple(reversed(frames)) or ("without a Python stack",)] += record.size
    return stacks


def _short(path: str) -> str:
    """Return a path from the package on, as py-spy shows it."""
    for separator in ("/site-packages/", "/lib/python3.11/", "/lib/python3.12/", f"{_PROJECT}/"):
        if separator in path:
            return path.rpartition(separator)[2]
    return path
