"""Experiment files: valid, bound to existing activities, and linked to runbooks and SLOs."""

from __future__ import annotations

import copy
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from chaos import experiment
from chaos.guard import find_limit
from infra.errors import ProblemsError, UsageError
from services.contracts.slo import SLO_BY_ID, SLOS

COMMAND = "esq chaos run ENV "


@pytest.mark.parametrize("name", experiment.names())
def test_experiment_is_valid_and_activities_accept_its_arguments(name: str) -> None:
    loaded = experiment.load(name)
    assert loaded.runbook.startswith("# ")
    assert loaded.has_control("cli.chaos_control")
    assert loaded.is_shipped
    probes = loaded.document["steady-state-hypothesis"]["probes"]
    for activity in [*loaded.document["method"], *loaded.document["rollbacks"], *probes]:
        provider = activity["provider"]
        function = getattr(importlib.import_module(provider["module"]), provider["func"])
        inspect.signature(function).bind(**provider.get("arguments", {}))
        assert function.__doc__


def test_every_chaos_slo_is_measured_by_its_experiment() -> None:
    slos = [slo for slo in SLOS if slo.command.startswith(COMMAND)]
    assert slos
    for slo in slos:
        assert slo.id in experiment.load(slo.command.removeprefix(COMMAND)).extension.slos


def test_all_problems_of_an_experiment_are_reported_together() -> None:
    extension = {
        "name": "esq",
        "runbook": "no-such",
        "traffic": ["edge"],
        "slos": {"no-such": "edge.raed.failed"},
        "abort_after_silence_seconds": {"edge.raed": 30, "edge.write": 30},
    }
    document = {"title": "t", "description": "d", "method": [], "extensions": [extension]}
    with pytest.raises(ProblemsError) as error:
        experiment.parse("invalid", document)
    for problem in (
        "there is no runbook `no-such`",
        "there is no SLO `no-such`",
        "`edge.raed.failed` is not measured",
        "there is no stream `edge.raed`",
        "`edge.read` has no limit",
    ):
        assert problem in error.value.detail


@pytest.mark.parametrize("missing", ["abort_after_silence_seconds", "traffic"])
def test_experiment_of_ours_needs_traffic_and_abort_conditions(missing: str) -> None:
    extension = {
        "name": "esq",
        "runbook": "zone-down",
        "traffic": ["edge"],
        "abort_after_silence_seconds": {"edge": 30},
    }
    del extension[missing]
    document = {"title": "t", "description": "d", "method": [], "extensions": [extension]}
    with pytest.raises(ProblemsError, match="invalid") as error:
        experiment.parse("invalid", document)
    assert missing in error.value.detail


SLOW_ACTIONS = frozenset({"rotate_credentials", "find_damage", "lose_power"})
"""Their methods take minutes beside the pauses."""


SILENT_UNTIL_UNDONE = {
    "disk-full": {"edge", "postgres"},
    "zone-bandwidth-limit": {"edge", "postgres"},
    "zone-latency": {"edge", "postgres"},
    "zone-one-way-partition": {"redis"},
    "zone-partition-from-zones": {"redis"},
}
"""Limits of streams that a valid run finds silent until the undo: a shorter limit would abort each run."""


def pause_seconds(activities: list[dict[str, Any]]) -> float:
    """Return the total of the pauses in a method."""
    return sum(sum(activity.get("pauses", {}).values()) for activity in activities)


@pytest.mark.parametrize("name", experiment.names())
def test_limit_ends_a_run_before_its_method_would_and_not_before_its_slo(name: str) -> None:
    loaded = experiment.load(name)
    method, extension = loaded.document["method"], loaded.extension
    if not SLOW_ACTIONS & {activity["provider"]["func"] for activity in method}:
        pauses, silent = pause_seconds(method), SILENT_UNTIL_UNDONE.get(name, set())
        for stream, seconds in extension.abort_after_silence_seconds.items():
            is_shorter = seconds < pauses
            assert is_shorter != (stream in silent), f"limit of {stream}, beside pauses of {pauses} s"
            assert is_shorter or seconds >= 2 * pauses, f"{stream} recovers after the undo"
    for slo_id, metric in extension.slos.items():
        stream, _, field = metric.rpartition(".")
        if field == "max_unavailability_seconds":
            limit = find_limit(stream, extension.abort_after_silence_seconds)
            assert limit is not None
            assert limit > SLO_BY_ID[slo_id].limit, "the run would end before it violates its SLO"


@pytest.mark.parametrize("limit", [0, -1, 601, float("inf"), float("nan")])
def test_limit_that_aborts_nothing_is_refused(limit: float) -> None:
    extension = {
        "name": "esq",
        "runbook": "zone-down",
        "traffic": ["edge"],
        "abort_after_silence_seconds": {"edge": limit},
    }
    document = {"title": "t", "description": "d", "method": [], "extensions": [extension]}
    with pytest.raises(ProblemsError) as error:
        experiment.parse("invalid", document)
    assert "abort_after_silence_seconds.edge" in error.value.detail


def test_changed_experiment_is_not_shipped() -> None:
    document = copy.deepcopy(experiment.load("zone-isolated").document)
    assert experiment.parse("zone-isolated", document | {"dry": None}).is_shipped
    document["method"][0]["pauses"] = {"after": 1}
    assert not experiment.parse("zone-isolated", document).is_shipped


def test_document_of_others_is_read_from_a_path(tmp_path: Path) -> None:
    file = tmp_path / "others.json"
    file.write_text('{"title": "t", "description": "d", "method": []}')
    loaded = experiment.load(str(file))
    assert (loaded.name, loaded.has_control("cli.chaos_control"), loaded.runbook) == ("others", False, "")
    assert not loaded.is_shipped
    assert loaded.extension is experiment.NO_EXTENSION


def test_running_document_is_named_by_its_title() -> None:
    document = experiment.load("zone-isolated").document
    assert experiment.find_name(document) == "zone-isolated"
    assert experiment.find_name({"title": "Somebody's: test!"}) == "somebody-s-test"


def test_unknown_experiment_error_lists_known_experiments() -> None:
    with pytest.raises(UsageError) as error:
        experiment.load("nothing")
    assert "zone-outage" in error.value.remedy
