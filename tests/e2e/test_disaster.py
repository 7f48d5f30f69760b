"""A whole environment lost while it is written to, and rebuilt from its vault.

Off unless asked for: `./esq python -m pytest -m slow -s tests/e2e/test_disaster.py`.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from cli.actions import deployment_target
from cli.actions.stack_config import load_credentials
from cli.environment import load_environment
from infra.progress import RecordingProgress
from infra.zones import orphan_processes
from infra.zones.paths import ClusterPaths
from services.contracts.backup_verification import RPO_SECONDS
from tests.servers.continuous_writer import ContinuousWriter
from tests.servers.platform import DEPLOY_TIMEOUT_SECONDS, Platform
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3000)]

WRITE_SECONDS = 100.0
"""Long enough that much is older than the promise, and some is younger."""
REBUILD_SECONDS = 1500.0


@pytest.fixture
def lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform of its own, taken away at the end whatever happened."""
    platform = Platform(state=tmp_path, cluster="lost", subnet="10.96.0.0/16")
    for name, value in platform._environment().items():
        monkeypatch.setenv(name, value)
    try:
        yield platform
    finally:
        platform.esq("destroy", "local", "--yes", expect=None)
        platform.remove()


def test_a_lost_environment_is_rebuilt_within_the_promise(lost: Platform, tmp_path: Path) -> None:
    lost.report("deploy", "local", "--yes", timeout=DEPLOY_TIMEOUT_SECONDS)
    wait_until("the first backup", lambda: backed_up(lost), 300)
    before = opened_writer(lost)
    contacts, text = tmp_path / "contacts.csv", tmp_path / "text.txt"
    contacts.write_text("phone\n" + "".join(f"119{50_000_000 + n}\n" for n in range(2000)))
    text.write_text("Oi!")
    # So slow that most of it is still owed when everything is lost.
    words = ("--company", "acme", "--contacts", str(contacts), "--text", str(text), "--rate", "5")
    sending = lost.start("campaign", "send", "--env", "local", *words)
    with before:
        time.sleep(WRITE_SECONDS)  # a fault comes after so long: this is the experiment, not a wait
        lose(lost)
        gone = time.time()
    sending.kill()
    sending.communicate(timeout=30)
    lost.esq("cluster", "down", "--name", lost.cluster, "--purge", timeout=120)
    report = lost.report("backup", "rebuild", "local", "--yes", timeout=REBUILD_SECONDS)
    found = opened_writer(lost).stored_phones()
    missing = [gone - at for phone, at in before.acknowledged.items() if phone not in found]
    figures = {
        "rto_seconds": report["seconds"],
        "acknowledged": len(before.acknowledged),
        "lost": len(missing),
        "oldest_lost_seconds": round(max(missing, default=0.0), 1),
        "lost_up_to_the_promise": sum(age > RPO_SECONDS for age in missing),
        "requested_again": report["requested_again"],
        "restored_until": report["restored_until"],
        "steps": report["steps"],
    }
    lost.save_figures("disaster", figures)
    assert len(before.acknowledged) > 100
    assert figures["lost_up_to_the_promise"] == 0
    assert figures["requested_again"] > 0
    assert report["healthy"]
    drill = lost.report("backup", "drill", "local", timeout=600)
    assert drill["succeeded"]


def backed_up(platform: Platform) -> bool:
    """Tell whether the vault holds a backup."""
    found = platform.report("backup", "list", "local")
    return any(each["repository"] == 2 for each in found["backups"])


def lose(platform: Platform) -> None:
    """Let everything die at once: nobody gets to end a transaction or to hand over a log."""
    cluster = platform.open_cluster()
    pid = cluster.supervisor_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    layout = ClusterPaths(platform.state / "esq" / "clusters" / platform.cluster, platform.cluster)
    for process in orphan_processes.find_orphans(cluster.spec, layout):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def opened_writer(platform: Platform) -> ContinuousWriter:
    """Return a writer for the platform as it stands."""
    environment, steps = load_environment("local"), RecordingProgress()
    place = deployment_target.open_target(environment, steps)
    key = load_credentials(environment, place.engine()).application.token_key
    return ContinuousWriter(f"https://{platform.open_cluster().address}", platform.open_cluster().ca, key)
