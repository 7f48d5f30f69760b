"""From nothing to a campaign sent, through faults, and back to nothing: one story, told in order."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.platform import DEPLOY_TIMEOUT_SECONDS, EdgePoller, Platform
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

DISPATCHER = "services.whatsapp dispatcher"
ZONE_CUT_SECONDS = 25.0
EDGE_GAP_CEILING = 25.0
CRASHES = {128 + signal.SIGSEGV, 128 + signal.SIGABRT}
"""Exit codes of what no fault here sends."""


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
    report = platform.report("deploy", "local", "--yes", timeout=DEPLOY_TIMEOUT_SECONDS)
    assert report["healthy"]
    status = platform.report("status", "local")
    for part in ("postgres", "redis", "kafka", "object-store"):
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
    cluster = platform.open_cluster()
    sending = platform.start(*campaign(contacts(4000), text, "globex"))
    with EdgePoller(f"https://{cluster.address}/campaigns/none", cluster.ca) as watcher:
        for _ in range(3):
            platform.kill(DISPATCHER)
            time.sleep(3)  # a fault lasts as long as it lasts: this is the experiment, not a wait
        cluster.disconnect("zone-b")
        time.sleep(ZONE_CUT_SECONDS)
        cluster.reconnect("zone-b")
        out, err = sending.communicate(timeout=600)
    assert sending.returncode == 0, out + err
    report = json.loads(out)
    assert report["planned"] == 4000
    assert report["verdict"]["lost"] == 0
    assert report["verdict"]["duplicated"] == 0
    assert report["verdict"]["uncertain"] >= 0
    figures = {"edge_gap_seconds": watcher.longest_gap, "failed": watcher.failed, **report["verdict"]}
    platform.save_figures("campaign-under-faults", figures)
    assert watcher.longest_gap < EDGE_GAP_CEILING


def test_a_paused_campaign_stands_still_and_goes_on_where_it_was(
    platform: Platform, contacts: Callable[[int], Path], text: Path
) -> None:
    sending = platform.start(*campaign(contacts(1500), text, "initech"))
    of = ("--company", "initech", "--env", "local")
    begun = found(platform, lambda each: each["counts"].get("pending", 0) == 0 < each["planned"], of)
    platform.report("campaign", "pause", begun["id"], *of)
    paused = found(platform, lambda each: each["counts"].get("queued", 0) == 0, of)
    assert paused["state"] == "paused"
    assert paused["counts"]["pending"] > 0
    assert len(platform.esq("campaign", "export", begun["id"], *of).splitlines()) == paused["planned"] + 1
    assert platform.report("campaign", "resume", begun["id"], *of)["run"] == 1
    out, err = sending.communicate(timeout=300)
    assert sending.returncode == 0, out + err
    report = json.loads(out)
    assert report["planned"] == 1500
    assert report["verdict"] == {"lost": 0, "duplicated": 0, "uncertain": 0}


def test_load_is_put_on_and_accounted_for(platform: Platform) -> None:
    words = ("path", "--rate", "20", "--seconds", "60", "--json")
    # Whether promises hold on a machine that tests share is not asked; 1 and 99 tell of nothing else.
    told = json.loads(platform.esq("load", "run", *words, expect=None, timeout=600))
    assert "messages" in told, told
    assert told["messages"]["planned"] == 1200
    assert (told["messages"]["lost"], told["messages"]["duplicated"]) == (0, 0)
    uses = told["uses"].values()
    assert uses, "in a minute a kubelet counts some pods twice"
    assert 0 < sum(use["cores"] for use in uses) < told["machine"]["cores"]
    assert all(0 < use["memory"] < (use["limit"] or 4096) for use in uses)


def found(
    platform: Platform, wanted: Callable[[dict[str, Any]], bool], of: tuple[str, ...], seconds: float = 60
) -> dict[str, Any]:
    """Wait until a company's campaign is as wanted, and return it."""
    seen: list[dict[str, Any]] = []

    def is_wanted() -> bool:
        seen[:] = platform.report("campaign", "list", *of)["campaigns"][:1]
        return bool(seen) and wanted(seen[0])

    wait_until(f"the newest campaign of {of}", is_wanted, seconds)
    return seen[0]


def well_within(platform: Platform, seconds: float) -> None:
    """Wait until all is well."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if platform.status().get("healthy"):
            return
        time.sleep(1)
    pytest.fail(platform.esq("status", "local", expect=None))


def test_all_is_well_again_within_the_promise(platform: Platform) -> None:
    well_within(platform, 60)


@pytest.mark.parametrize("experiment", ["postgres-primary-killed", "zone-outage"])
def test_experiments_lose_nothing(platform: Platform, experiment: str) -> None:
    told = json.loads(platform.esq("chaos", "run", "local", experiment, "--json", expect=None, timeout=900))
    assert "runs" in told, f"{told}\n{platform.esq('status', 'local', expect=None)}"
    (run,) = told["runs"]
    if run["abort_reason"]:
        pytest.fail(f"{run['abort_reason']}\n{platform.pod_logs('esq-data', 'cluster-name=postgres')}")
    assert (run["status"], run["deviated"]) == ("completed", False)
    for name, stats in run["streams"].items():
        assert stats["acked"] > 0, name
        assert stats["duplicated"] == 0, name
        assert stats["lost"] == 0 or name.startswith("redis"), name
    if run["campaign"]:
        assert (run["campaign"]["lost"], run["campaign"]["duplicated"]) == (0, 0)
    figures = {each["slo_id"]: each["distribution"]["values"] for each in told["evaluations"]}
    platform.save_figures(experiment, figures)
    well_within(platform, 120)


def test_no_process_ended_by_a_fault_of_its_own(platform: Platform) -> None:
    told = json.loads(platform.kubectl("get", "pods", "--namespace=esq-services", "--output=json"))
    ends = {
        pod["metadata"]["name"]: container["lastState"]["terminated"]["exitCode"]
        for pod in told["items"]
        for container in pod["status"].get("containerStatuses", [])
        if "terminated" in container["lastState"]
    }
    crashed = {name: code for name, code in ends.items() if code in CRASHES}
    assert not crashed


def test_a_killed_experiment_is_undone_by_its_timer(platform: Platform) -> None:
    running = platform.start("chaos", "run", "local", "zone-isolated")
    journal = platform.state / "esq" / "environments" / "local" / "chaos" / "open"
    deadline = time.monotonic() + 120
    while not list(journal.glob("*.json")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running.kill()
    running.communicate()
    while list(journal.glob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    well_within(platform, 180)


def test_backups_are_known_to_restore(platform: Platform) -> None:
    platform.report("backup", "now", "local", timeout=600)
    told = platform.report("backup", "drill", "local", timeout=900)
    assert told["succeeded"], told["problems"]
    platform.save_figures("drill", {"rpo": told["rpo_seconds"], "rto": told["rto_seconds"]})
    promises = platform.esq("promises", "local", "--json", expect=None)
    verdicts = {each["id"]: each["verdict"] for each in json.loads(promises)["promises"]}
    assert verdicts["backup-rto"] != "unmeasured"
    assert verdicts["writes-lost"] == "met"


def test_a_second_deploy_changes_nothing(platform: Platform) -> None:
    report = platform.report("deploy", "local", "--yes", timeout=DEPLOY_TIMEOUT_SECONDS)
    assert all(set(layer["changes"]) <= {"same"} for layer in report["layers"]), report["layers"]


def test_drift_is_found_and_repaired(platform: Platform) -> None:
    platform.report("drift", "local")
    words = ("set", "env", "deployment/contacts-api", "ESQ_ENVIRONMENT=elsewhere")
    platform.kubectl("--namespace=esq-services", *words)
    report = platform.report("drift", "local", expect=99)
    assert any("contacts-api" in change["resource"] for change in report["changes"])
    platform.report("deploy", "local", "--yes", timeout=DEPLOY_TIMEOUT_SECONDS)
    platform.report("drift", "local")


def test_destroy_leaves_nothing(platform: Platform) -> None:
    platform.esq("destroy", "local", "--yes", timeout=DEPLOY_TIMEOUT_SECONDS)
    assert platform.leaked_resources() == []
