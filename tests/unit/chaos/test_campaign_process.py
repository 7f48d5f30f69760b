"""The campaign that is sent during an experiment: it ends with a killed one, and every contact counts."""

from __future__ import annotations

import json
import subprocess
import sys

from chaos import observation
from infra.process_identity import read_stat
from tests.servers.process import wait_until

_TOOL = """
from types import SimpleNamespace
from chaos import observation
target = SimpleNamespace(campaign_command=lambda contacts: ["sleep", "600"])
process = observation._start_campaign(target, 1)
print(process.pid, flush=True)
process.wait()
"""


def _name(pid: int) -> str:
    stat = read_stat(pid)
    return stat.name if stat else ""


def test_campaign_ends_with_a_killed_experiment() -> None:
    with subprocess.Popen([sys.executable, "-c", _TOOL], stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdout is not None
        campaign = int(tool.stdout.readline())
        try:
            wait_until("the campaign runs", lambda: _name(campaign) == "sleep", seconds=20)
        finally:
            tool.kill()
        wait_until("the campaign has ended", lambda: _name(campaign) == "", seconds=20)


def test_contact_without_a_message_is_lost() -> None:
    report = {
        "planned": 98,
        "seconds": 1.0,
        "reconciliation": {"lost": 1, "duplicated": 0, "uncertain": 0},
    }
    with subprocess.Popen(["echo", json.dumps(report)], stdout=subprocess.PIPE, text=True) as process:
        assert observation._campaign_result(process, contacts=100).lost == 3
