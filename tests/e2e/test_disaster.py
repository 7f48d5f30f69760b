"""Recovery of an environment that is lost while it is written to, from its off-site store.

Not run by default: `./esq python -m pytest -m slow -s tests/e2e/test_disaster.py`.
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
from tests.servers.zones import supervisor_pid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3000)]

WRITE_SECONDS = 100.0
"""Long enough that most writes are older than the RPO, and some are newer."""
RECOVERY_TIMEOUT_SECONDS = 1500.0


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform of its own, removed at the end in any case."""
    platform = Platform(state=tmp_path, cluster="lost", subnet="10.96.0.0/16")
    for name, value in platform._environment().items():
        monkeypatch.setenv(name, value)
    try:
        yield platform
    finally:
        platform.esq("destroy", "local", "--yes", expect=None)
        platform.remove()


def test_lost_environment_is_recovered_within_the_rpo(platform: Platform, tmp_path: Path) -> None:
    platform.report("deploy", "local", "--yes", timeout=DEPLOY_TIMEOUT_SECONDS)
    wait_until("the first backup", lambda: has_offsite_backup(platform), 300)
    before = open_writer(platform)
    contacts, template = tmp_path / "contacts.csv", tmp_path / "template.txt"
    contacts.write_text("phone\n" + "".join(f"119{50_000_000 + n}\n" for n in range(2000)))
    template.write_text("Oi!")
    # Slow enough that most messages are not sent when everything is lost.
    arguments = ("--company", "acme", "--contacts", str(contacts), "--template", str(template), "--rate", "5")
    process = platform.start("campaign", "send", "local", *arguments)
    with before:
        time.sleep(WRITE_SECONDS)  # time before the fault, not a wait for a condition
        kill_all_processes(platform)
        lost_at = time.time()
    process.kill()
    process.communicate(timeout=30)
    platform.esq("cluster", "down", "--name", platform.cluster, "--purge", "--yes", timeout=120)
    report = platform.report("recover", "local", "--yes", timeout=RECOVERY_TIMEOUT_SECONDS)
    stored = open_writer(platform).stored_phones()
    missing = [lost_at - at for phone, at in before.acknowledged.items() if phone not in stored]
    figures = {
        "rto_seconds": report["seconds"],
        "acknowledged": len(before.acknowledged),
        "lost": len(missing),
        "oldest_lost_seconds": round(max(missing, default=0.0), 1),
        "lost_older_than_rpo": sum(age > RPO_SECONDS for age in missing),
        "republished": report["republished"],
        "restored_until": report["restored_until"],
        "steps": report["steps"],
    }
    platform.save_figures("disaster", figures)
    assert len(before.acknowledged) > 100
    assert figures["lost_older_than_rpo"] == 0
    assert figures["republished"] > 0
    assert report["healthy"]
    drill = platform.report("backup", "drill", "local", timeout=600)
    assert drill["succeeded"]


def has_offsite_backup(platform: Platform) -> bool:
    """Return whether the off-site store has a backup."""
    backups = platform.report("backup", "list", "local")["backups"]
    return any(backup["repository"] == 2 for backup in backups)


def kill_all_processes(platform: Platform) -> None:
    """Kill all processes at once: no transaction ends and no log segment is archived."""
    cluster = platform.open_cluster()
    pid = supervisor_pid(cluster)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    paths = ClusterPaths(platform.state / "esq" / "clusters" / platform.cluster, platform.cluster)
    for process in orphan_processes.find_orphans(cluster.spec, paths):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def open_writer(platform: Platform) -> ContinuousWriter:
    """Return a writer for the running platform."""
    environment, progress = load_environment("local"), RecordingProgress()
    target = deployment_target.open_target(environment, progress)
    key = load_credentials(target.engine()).application.token_key
    return ContinuousWriter(f"https://{platform.open_cluster().address}", platform.open_cluster().ca, key)
