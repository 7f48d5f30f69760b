"""Experiment files: valid, bound to existing activities, and linked to runbooks and SLOs."""

from __future__ import annotations

import importlib
import inspect

import pytest

from chaos import experiment
from infra.errors import ProblemsError, UsageError
from services.contracts.slo import SLOS

COMMAND = "esq chaos run ENV "


@pytest.mark.parametrize("name", experiment.names())
def test_experiment_is_valid_and_activities_accept_its_arguments(name: str) -> None:
    loaded = experiment.load(name)
    assert loaded.runbook.startswith("# ")
    probes = loaded.document["steady-state-hypothesis"]["probes"]
    for activity in [*loaded.document["method"], *probes]:
        provider = activity["provider"]
        function = getattr(importlib.import_module(provider["module"]), provider["func"])
        inspect.signature(function).bind(**provider.get("arguments", {}))
        assert function.__doc__


@pytest.mark.parametrize("name", experiment.names())
def test_runbook_of_experiment_names_it_as_test(name: str) -> None:
    assert f"`esq chaos run ENV {name}`" in experiment.load(name).runbook


def test_every_chaos_slo_is_measured_by_its_experiment() -> None:
    slos = [slo for slo in SLOS if slo.command.startswith(COMMAND)]
    assert slos
    for slo in slos:
        assert slo.id in experiment.load(slo.command.removeprefix(COMMAND)).extension.slos


def test_all_problems_of_an_experiment_are_reported_together() -> None:
    document = {
        "title": "t",
        "description": "d",
        "method": [],
        "extensions": [{"name": "esq", "runbook": "no-such", "slos": {"no-such": "lost"}}],
    }
    with pytest.raises(ProblemsError) as error:
        experiment.parse("invalid", document)
    assert "there is no runbook `no-such`" in error.value.detail
    assert "there is no SLO `no-such`" in error.value.detail


def test_unknown_experiment_error_lists_known_experiments() -> None:
    with pytest.raises(UsageError) as error:
        experiment.load("nothing")
    assert "zone-outage" in error.value.remedy
