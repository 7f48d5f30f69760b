"""The panels of the page in their order, over the sources of an environment."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import TYPE_CHECKING

from cli.actions.observability_status import blindness
from cli.operations_page import alerts, budgets, service_map, signals, timeline, work
from cli.operations_page.panel import Content, Panel
from cli.operations_page.shared_reading import SharedReading
from cli.operations_page.timeline import Lane, Period
from infra.dashboards.graphs import DATA_LAYER, DELIVERY, GOLDEN_SIGNALS, PROVIDER
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.operations_page.sources import OperationsSources
    from cli.operations_page.telemetry import Telemetry
    from infra.dashboards.graphs import Graph

HEALTH_DEADLINE_SECONDS = 20.0
"""Longer than the retries of a query to an API server that restarts."""
SIGNALS_INTERVAL_SECONDS = 15.0
SIGNALS_DEADLINE_SECONDS = 30.0
DEPLOYS_INTERVAL_SECONDS = 60.0
"""Each reading starts the engine once per layer."""


def build_panels(sources: OperationsSources) -> list[Panel]:
    """Return all panels, in the order of the page."""
    name, lanes = sources.environment, _lanes(sources)
    return [
        Panel("alerts", "Alerts", lambda: _alerts_content(sources.telemetry())),
        _health_panel("map", "Service map", lambda: service_map.map_content(sources.health())),
        _signals_panel("signals", "Golden signals", GOLDEN_SIGNALS, sources, lanes),
        Panel(
            "budgets",
            "Error budgets",
            lambda: budgets.budgets_content(sources.telemetry()),
            SIGNALS_INTERVAL_SECONDS,
            SIGNALS_DEADLINE_SECONDS,
        ),
        _timeline_panel(lanes),
        Panel("queues", "Queues", lambda: work.queues_content(sources.queues())),
        _signals_panel("delivery", "Delivery", DELIVERY, sources, lanes),
        Panel("campaigns", "Campaigns", lambda: work.campaigns_content(sources.campaigns()), 5.0),
        _health_panel(
            "replication", "Replication", lambda: service_map.replication_content(sources.health())
        ),
        _signals_panel("data", "Data layer", DATA_LAYER, sources, lanes),
        _signals_panel("provider", "Provider", PROVIDER, sources, lanes),
        Panel("faults", "Faults", lambda: timeline.faults_content(sources.journal(), name)),
        Panel("slos", "SLOs", lambda: work.slos_content(sources.slos(), name), 30.0),
    ]


def _alerts_content(telemetry: Telemetry) -> Content:
    return alerts.alerts_content(telemetry.alerts(), blindness(telemetry))


def _health_panel(panel_id: str, title: str, read: Callable[[], Content]) -> Panel:
    return Panel(panel_id, title, read, deadline_seconds=HEALTH_DEADLINE_SECONDS)


def _signals_panel(
    panel_id: str, title: str, graphs: Sequence[Graph], sources: OperationsSources, lanes: Sequence[Lane]
) -> Panel:
    def read() -> Content:
        return signals.signals_content(sources.telemetry(), graphs, _readable_periods(lanes), _now())

    return Panel(panel_id, title, read, SIGNALS_INTERVAL_SECONDS, SIGNALS_DEADLINE_SECONDS)


def _readable_periods(lanes: Sequence[Lane]) -> list[Period]:
    """Return the periods of the lanes that can be read; the panel with the time axis reports the others."""
    periods: list[Period] = []
    for lane in lanes:
        with suppress(EsqError):
            periods += lane.read()
    return periods


def _lanes(sources: OperationsSources) -> tuple[Lane, ...]:
    deploys = SharedReading(sources.deploys, DEPLOYS_INTERVAL_SECONDS)
    return (
        Lane("deploys", "deploy", lambda: timeline.deploy_periods(deploys())),
        Lane("faults", "fault", lambda: timeline.fault_periods(sources.journal(), sources.experiments())),
    )


def _timeline_panel(lanes: Sequence[Lane]) -> Panel:
    return Panel(
        "timeline",
        "Deploys and faults",
        lambda: timeline.timeline_content(lanes, _now()),
        interval_seconds=5.0,
        deadline_seconds=30.0,
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
