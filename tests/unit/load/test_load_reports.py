"""What generators told, put together and judged."""

from __future__ import annotations

import pytest

from infra.errors import EsqError, UsageError
from loadtests.catalogue import JOURNEYS, find
from loadtests.generator.recorder import Recorder
from loadtests.merge import latency, merge
from loadtests.order import Timetable, Told
from loadtests.page import html
from loadtests.result import Machine, Mark, Messages, Report, Requests, Use
from loadtests.shapes import Shape
from services.contracts.promises import BY_ID, Standing


def told(*seconds: float, errors: int = 0, late: int = 0) -> Told:
    """What a generator says that saw requests take so long, the first of which failed."""
    recorder = Recorder(start=100.0)
    for number, each in enumerate(seconds):
        recorder.told.arrivals += 1
        planned = 100.0 + number
        recorder.request("page", planned, planned + each, "500 <no>" if number < errors else None)
        recorder.started(0.2 if number < late else 0.0, is_late=number < late)
    return recorder.result()


def report(requests: Requests, **more: object) -> Report:
    values = {
        "journey": "api",
        "title": "People",
        "unit": "requests",
        "timetable": Timetable(shape=Shape.STEADY, rate=10, seconds=60),
        "processes": 2,
        "environment": "local",
        "at": "2026-11-28T00:00:00+00:00",
        "command": "esq load run api",
        "promises": {"api-p99": "requests.p99", "api-failed": "requests.failed"},
        "requests": requests,
        **more,
    }
    return Report.model_validate(values)


def test_percentiles_are_those_of_all_generators_together() -> None:
    merged = merge([told(*[0.1] * 99), told(*[2.0] * 101)])
    assert merged.all.count == 200
    assert merged.all.percentiles[0] == pytest.approx(2.0, rel=0.002)
    assert merged.kinds["page"].percentiles[-1] == pytest.approx(2.0, rel=0.002)
    assert merge([told(*[0.1] * 99), told(2.0)]).p99 == pytest.approx(0.1, rel=0.002)


def test_failures_errors_and_dropped_arrivals_are_counted() -> None:
    dropped = told(0.1)
    dropped.dropped, dropped.arrivals = 2, 3
    merged = merge([told(0.1, 0.1, 0.1, errors=1), dropped])
    assert merged.errors == {"page": {"500 <no>": 1}}
    assert merged.failed == pytest.approx(100 * 3 / 6)
    assert [(each.good, each.bad) for each in merged.series] == [(1, 1), (1, 0), (1, 0)]


def test_a_run_whose_generator_lagged_says_nothing() -> None:
    lagged = report(merge([told(*[0.1] * 50, late=4)]))
    assert not lagged.valid
    assert lagged.verdicts == []
    assert "Not valid" in html(lagged)
    assert report(merge([told(*[0.1] * 200, late=3)])).valid


def test_promises_are_judged() -> None:
    found = report(merge([told(*[5.0] * 10)]))
    assert [(each.slo_id, each.status) for each in found.verdicts] == [
        ("api-p99", Standing.BROKEN),
        ("api-failed", Standing.KEPT),
    ]
    assert [each.slo_id for each in found.broken] == ["api-p99"]
    with pytest.raises(EsqError, match=r"no figure `messages\.lost`"):
        found.metric("messages.lost")


def test_a_page_needs_nothing_but_itself() -> None:
    messages = Messages(
        planned=100,
        failed=1,
        lost=0,
        duplicated=2,
        uncertain=3,
        latency=latency([0.5] * 100),
        seconds=50.0,
        fairness=1.1,
    )
    marks = (Mark(at=0.5, what="kill <postgres>", hurts=True),)
    uses = {
        "postgres": Use(pods=3, cores=0.17, memory=211, limit=0),
        "worker": Use(pods=2, cores=0.02, memory=95, limit=256),
    }
    found = report(
        merge([told(0.1, 0.2, errors=1)]),
        messages=messages,
        marks=marks,
        uses=uses,
        machine=Machine(cores=2, taken=0.91, stolen=0.03),
    )
    text = html(found)
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
    cores = ("<td>postgres</td>", "0.190", "0.91 of 2 cores")
    for word in ("kill &lt;postgres&gt;", "500 &lt;no&gt;", "messages", *cores):
        assert word in text
    assert found.metric("messages.million") == 500_000
    assert found.metric("messages.p99") == pytest.approx(0.5, rel=0.002)


def test_every_journey_names_promises_and_figures_that_exist() -> None:
    figures = {*Requests.model_fields, *Messages.model_fields, "p99", "million", "behind"}
    for journey in JOURNEYS:
        for promise, metric in journey.promises.items():
            assert promise in BY_ID
            assert metric.split(".")[1] in figures
    with pytest.raises(UsageError, match="no journey is called `x`"):
        find("x")
