"""The panels of the page in their order, over the sources of an environment."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cli.operations_page import service_map, timeline, work
from cli.operations_page.panel import Panel
from cli.operations_page.shared_reading import SharedReading
from cli.operations_page.timeline import Lane

if TYPE_CHECKING:
    from cli.operations_page.sources import OperationsSources

HEALTH_DEADLINE_SECONDS = 20.0
"""Longer than the retries of a query to an API server that restarts."""
DEPLOYS_INTERVAL_SECONDS = 60.0
"""Each reading starts the engine once per layer."""


def build_panels(sources: OperationsSources) -> list[Panel]:
    """Return all panels, in the order of the page."""
    name = sources.environment
    return [
        Panel(
            "map",
            "Service map",
            lambda: service_map.map_content(sources.health()),
            deadline_seconds=HEALTH_DEADLINE_SECONDS,
        ),
        _timeline_panel(sources),
        Panel("queues", "Queues", lambda: work.queues_content(sources.queues())),
        Panel(
            "replication",
            "Replication",
            lambda: service_map.replication_content(sources.health()),
            deadline_seconds=HEALTH_DEADLINE_SECONDS,
        ),
        Panel("campaigns", "Campaigns", lambda: work.campaigns_content(sources.campaigns()), 5.0),
        Panel("faults", "Faults", lambda: timeline.faults_content(sources.journal(), name)),
        Panel("slos", "SLOs", lambda: work.slos_content(sources.slos(), name), 30.0),
    ]


def _timeline_panel(sources: OperationsSources) -> Panel:
    deploys = SharedReading(sources.deploys, DEPLOYS_INTERVAL_SECONDS)
    lanes = (
        Lane("deploys", "deploy", lambda: timeline.deploy_periods(deploys())),
        Lane("faults", "fault", lambda: timeline.fault_periods(sources.journal(), sources.experiments())),
    )
    return Panel(
        "timeline",
        "Deploys and faults",
        lambda: timeline.timeline_content(lanes, dt.datetime.now(dt.UTC)),
        interval_seconds=5.0,
        deadline_seconds=30.0,
    )
