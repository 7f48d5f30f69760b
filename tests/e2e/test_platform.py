"""From nothing to a campaign sent, through faults, and back to nothing: one story, told in order."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.controllers.platform import DEPLOY_SECONDS, Platform, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

DISPATCHER = "services.whatsapp.entrypoints.dispatcher"
ZONE_CUT_SECONDS = 25.0
EDGE_GAP_CEILING = 25.0


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A message with a variable in it."""
    file = tmp_path / "welcome.txt"
    file.write_text("Olá {name}, bem-vindo!", encoding="utf-8")
    return file


@pytest.fixture
def contacts(tmp_path: Path) -> Callable[[int], Path]:
    """Writes a file of that many contacts with Brazilian numbers, and one row that is no number."""

    def write(count: int) -> Path:
        file = tmp_path / f"contacts-{count}.csv"
        rows = [f"Contato {i},119{60_000_000 + i}" for i in range(count)]
        file.write_text("\n".join(["name,phone", *rows, "Ninguém,12"]) + "\n", encoding="utf-8")
        return file

    return write


def campaign(contacts: Path, text: Path, company: str) -> tuple[str, ...]:
    return (
        *("campaign", "send", "--env", "local", "--company", company),
        *("--contacts", str(contacts), "--text", str(text)),
    )


def test_deploy_from_nothing(platform: Platform) -> None:
    report = platform.report("deploy", "local", "--yes", timeout=DEPLOY_SECONDS)
    assert report["healthy"]
    status = platform.report("status", "local")
    for part in ("postgres", "redis", "kafka", "objects"):
        zones = {replica["zone"] for replica in status["data"][part]}
        assert zones == {"zone-a", "zone-b", "zone-c"}, part


def test_a_campaign_is_sent_once_to_each(
    platform: Platform, contacts: Callable[[int], Path], text: Path
) -> None:
    report = platform.report(*campaign(contacts(2000), text, "acme"), timeout=600)
    assert report["planned"] == 2000
    assert report["rejected"]["total"] == 1
    assert report["rejected"]["rows"][0]["line"] == 2002
    assert report["verdict"] == {"lost": 0, "duplicated": 0, "uncertain": 0}


def test_a_campaign_survives_killed_dispatchers_and_a_cut_zone(
    platform: Platform, contacts: Callable[[int], Path], text: Path
) -> None:
    cluster = platform.opened()
    sending = platform.start(*campaign(contacts(4000), text, "globex"))
    with Watcher(f"https://{cluster.address}/campaigns/none", cluster.ca) as watcher:
        for _ in range(3):
            platform.kill(DISPATCHER)
            time.sleep(3)  # a fault lasts as long as it lasts: this is the experiment, not a wait
        cluster.cut("zone-b")
        time.sleep(ZONE_CUT_SECONDS)
        cluster.heal("zone-b")
        out, err = sending.communicate(timeout=600)
    assert sending.returncode == 0, out + err
    report = json.loads(out)
    assert report["planned"] == 4000
    assert report["verdict"]["lost"] == 0
    assert report["verdict"]["duplicated"] == 0
    assert report["verdict"]["uncertain"] >= 0
    figures = {"edge_gap_seconds": watcher.longest_gap, "failed": watcher.failed, **report["verdict"]}
    platform.keep("campaign-under-faults", figures)
    assert watcher.longest_gap < EDGE_GAP_CEILING


def test_all_is_well_again_within_the_promise(platform: Platform) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if platform.status().get("healthy"):
            return
        time.sleep(1)
    pytest.fail(platform.esq("status", "local", expect=None))


def test_a_second_deploy_changes_nothing(platform: Platform) -> None:
    report = platform.report("deploy", "local", "--yes", timeout=DEPLOY_SECONDS)
    assert all(set(layer["changes"]) <= {"same"} for layer in report["layers"]), report["layers"]


def test_drift_is_found_and_repaired(platform: Platform) -> None:
    platform.report("drift", "local")
    words = ("set", "env", "deployment/contacts-api", "ESQ_ENVIRONMENT=elsewhere")
    platform.kubectl("--namespace=esq-services", *words)
    report = platform.report("drift", "local", expect=99)
    assert any("contacts-api" in change["resource"] for change in report["changes"])
    platform.report("deploy", "local", "--yes", timeout=DEPLOY_SECONDS)
    platform.report("drift", "local")


def test_destroy_leaves_nothing(platform: Platform) -> None:
    platform.esq("destroy", "local", "--yes", timeout=DEPLOY_SECONDS)
    assert platform.leftovers() == []
