"""`esq load` around its generators: what is prepared, what is judged, what counts as evidence."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from cli.actions.load import Wanted, ledger, reports
from cli.actions.load.fault import Fault
from cli.commands.load import app
from cli.environment import find as environment
from infra.errors import EsqError
from infra.progress import RecordedStep
from loadtests.catalogue import JOURNEYS, find
from loadtests.order import Created
from loadtests.result import Latency, Machine, Report, Requests, Use
from loadtests.shapes import Shape

if TYPE_CHECKING:
    from pathlib import Path


def fate(company: str, receipts: list[float], **more: Any) -> ledger.Fate:
    created = Created(company=company, id=company, planned=0.0)
    return ledger.Fate(created, Counter({"accepted": len(receipts)}), receipts=receipts, **more)


def side_by_side(company: int, companies: int) -> list[float]:
    """When each of a hundred messages is received, all companies in turn, one message a second."""
    return [company + companies * number + 1.0 for number in range(100)]


def one_after_the_other(company: int) -> list[float]:
    return [100 * company + number + 1.0 for number in range(100)]


def test_companies_that_are_served_in_turn_wait_for_their_share() -> None:
    fates = [fate(f"c{place}", side_by_side(place, 8)) for place in range(8)]
    assert ledger._messages(fates).fairness == pytest.approx(1.0, abs=0.06)


def test_who_is_served_last_of_many_waits_for_more_than_its_share() -> None:
    fates = [fate(f"c{place}", one_after_the_other(place)) for place in range(8)]
    assert ledger._messages(fates).fairness == pytest.approx(3.6, abs=0.1)


def test_what_became_of_all_messages_is_added_up() -> None:
    first, second = fate("a", [2.0, 4.0], lost=1), fate("b", [10.0], duplicated=2)
    second.states["uncertain"] += 3
    found = ledger._messages([first, second])
    assert (found.planned, found.lost, found.duplicated, found.uncertain) == (6, 1, 2, 3)
    assert found.seconds == 10.0
    assert found.latency.percentiles[-1] == pytest.approx(10.0, rel=0.002)


class Doors:
    """An environment of one campaign with three messages, one of which the provider never got."""

    def edge(self, _company: str, _seconds: float) -> Any:
        return SimpleNamespace(call=self.call)

    def call(self, method: str, path: str, _scope: str, **_: object) -> Any:
        if path.endswith("/messages"):
            states = {"m1": "delivered", "m2": "sent", "m3": "failed"}
            return {"messages": [{"id": one, "state": state} for one, state in states.items()], "next": None}
        if method == "POST":
            return {"m1": [1000.0, 1001.0], "m2": [], "m3": [1000.0]}
        return {"state": "finished", "planned": 3, "total": 3, "counts": {"sent": 2, "failed": 1}}


def test_the_ledger_is_held_against_what_is_believed() -> None:
    created = [Created(company="acme", id="one", planned=0.0)]
    found = ledger.follow(created, Doors(), 10.0, RecordedStep("ledger"))  # type: ignore[arg-type] # the same method
    assert (found.planned, found.failed, found.lost, found.duplicated) == (3, 1, 1, 1)
    assert found.latency.count == 2
    with pytest.raises(EsqError, match="no campaign was accepted"):
        ledger.follow([], Doors(), 10.0, RecordedStep("ledger"))  # type: ignore[arg-type] # the same method


class UnevenDoors:
    """An environment of campaigns of which `one` has failed, while all others go on and on."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def edge(self, _company: str, _seconds: float) -> Any:
        return SimpleNamespace(
            call=self.call, clock=time.monotonic, deadline=self.deadline, sleep=lambda _: time.sleep(0.01)
        )

    def call(self, _method: str, path: str, _scope: str, **_: object) -> Any:
        return {"state": "failed" if path.endswith("/one") else "sending", "counts": {}}


def test_nobody_waits_for_the_others_when_one_has_failed() -> None:
    created = [Created(company="acme", id=name, planned=0.0) for name in ("two", "three", "one")]
    deadline = time.monotonic() + 20
    with pytest.raises(EsqError, match="could not be planned"):
        ledger.follow(created, UnevenDoors(deadline), 10.0, RecordedStep("ledger"))  # type: ignore[arg-type] # the same method
    assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("changes", "experiment", "evidence"),
    [
        ({}, None, ["path-p99"]),
        ({"rate": 400.0}, None, ["path-p99"]),
        ({"rate": 100.0}, None, []),
        ({"seconds": 60.0}, None, []),
        ({"shape": Shape.RAMP}, None, []),
        ({}, "stall", []),
    ],
)
def test_only_as_much_as_declared_is_evidence(
    changes: dict[str, Any], experiment: str | None, evidence: list[str]
) -> None:
    journey = find("path")
    wanted = Wanted(journey, journey.timetable.model_copy(update=changes), 2, experiment, "esq load run path")
    assert wanted.as_declared is bool(evidence)
    assert wanted.arrivals.rate == pytest.approx(wanted.timetable.rate / journey.per_arrival)


def test_a_fault_begins_once_the_load_has_flowed() -> None:
    with Fault("no such experiment", "local", lead_seconds=0.1) as fault:
        assert fault.marks(0.0) == ((), "")
        fault.load_flows()
        fault.load_flows()
        with pytest.raises(EsqError, match="told nothing"):
            fault.marks(0.0)
    with Fault(None, "local", lead_seconds=0.0) as none:
        none.load_flows()
        assert none.marks(0.0) == ((), "")


def test_journeys_are_listed_and_shown() -> None:
    listed = CliRunner().invoke(app, ["list", "--json"])
    assert [each["name"] for each in json.loads(listed.stdout)["journeys"]] == [
        each.name for each in JOURNEYS
    ]
    shown = json.loads(CliRunner().invoke(app, ["show", "path", "--json"]).stdout)
    assert (shown["rate"], shown["seconds"], shown["shape"]) == (278, 600, "steady")

    assert "promise   path-p99" in CliRunner().invoke(app, ["show", "path"]).stdout


def test_a_report_shows_what_each_part_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one = Latency(count=1, percentiles=(0.1,) * 5)
    made = Report(
        journey="path",
        title="Path",
        unit="messages",
        timetable=find("path").timetable,
        processes=1,
        environment="local",
        at="2026-11-30T00:00:00+00:00",
        command="esq load run path",
        promises={},
        requests=Requests(
            arrivals=1, late=0, worst_late=0, dropped=0, all=one, kinds={}, errors={}, series=()
        ),
        uses={
            "postgres": Use(pods=3, cores=0.17, memory=211, limit=0),
            "planner": Use(pods=2, cores=0.02, memory=95, limit=256),
        },
        machine=Machine(cores=2, taken=0.91, stolen=0.03),
    )
    store = reports(environment("local"))
    store.write(store.create("path", dt.datetime(2026, 11, 30, tzinfo=dt.UTC)), made, "<p>page</p>")
    shown = CliRunner().invoke(app, ["report"])
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["postgres", "3", "0.170", "211", "-"] in lines
    assert ["planner", "2", "0.020", "95", "256"] in lines
    assert ["all", "pods", "5", "0.190"] in lines
    assert "0.91 of 2 cores" in shown.stdout
    told = json.loads(CliRunner().invoke(app, ["report", "--json"]).stdout)
    assert told["uses"]["planner"]["memory"] == 95
