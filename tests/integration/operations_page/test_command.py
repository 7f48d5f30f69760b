"""`esq open` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.integration
TIMEOUT_SECONDS = 120.0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`esq open` of an environment that is not deployed, in a home of its own."""
    variables = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "open", "local"],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        yield running
        running.kill()


def printed_link(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return the printed address and token."""
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"(http://127\.0\.0\.1:\d+)/#token=(\S+)", line):
            return match[1], match[2]
    raise AssertionError(process.communicate()[1])


def read_snapshot(address: str, token: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    return dict(httpx.get(f"{address}/snapshot.json", headers=headers, timeout=TIMEOUT_SECONDS).json())


def test_page_of_an_environment_that_is_not_deployed_says_so(process: subprocess.Popen[str]) -> None:
    address, token = printed_link(process)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (snapshot := read_snapshot(address, token))["is_complete"]:
        assert time.monotonic() < deadline, snapshot
        time.sleep(0.05)
    panels = {panel["id"]: panel["html"] for panel in snapshot["panels"]}
    assert "`local` is not deployed" in panels["map"]
    assert "`local` is not deployed" in panels["queues"]
    assert "deploys cannot be read" in panels["timeline"]
    assert "no company was named" in panels["campaigns"]
    assert "no fault is open" in panels["faults"]


def test_interrupt_ends_it(process: subprocess.Popen[str]) -> None:
    printed_link(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT_SECONDS) == 130
