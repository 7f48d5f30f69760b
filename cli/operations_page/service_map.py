"""Panels of the health of an environment: the service map by zone, and replication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.operations_page.panel import Content
from cli.operations_page.rendering import render
from infra.processes import PROCESSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.health import Health
    from infra.components.component_health import ComponentHealth
    from infra.environment_health import ServiceHealth


@dataclass(frozen=True)
class Cell:
    """State of a part in a zone.

    Attributes:
        healthy: whether everything of it in the zone works.
        text: what runs there.
    """

    healthy: bool
    text: str


@dataclass(frozen=True)
class MapRow:
    """A part of the platform.

    Attributes:
        name: its name.
        healthy: whether it works as a whole.
        summary: its state in words.
        cells: its state by zone; None where nothing of it runs.
        calls: the data components that it calls, with whether each works.
    """

    name: str
    healthy: bool
    summary: str
    cells: tuple[Cell | None, ...]
    calls: tuple[tuple[str, bool], ...] = ()


def map_content(health: Health) -> Content:
    """Return the panel of the service map: all parts by zone, as a request reaches them."""
    zones = sorted({node.zone for node in health.nodes})
    working = {component.component: component.healthy for component in health.data}
    tiers = [
        ("edge", [_endpoint_row(health, zones)] if health.endpoints else []),
        ("services", [_service_row(service, zones, working) for service in health.services]),
        ("data layer", [_component_row(component, zones) for component in health.data]),
        ("nodes", [_node_row(health, zones)]),
    ]
    html = render(
        "service_map", zones=zones, tiers=[tier for tier in tiers if tier[1]], backups=health.backups
    )
    return Content(html, tuple(health.problems))


def replication_content(health: Health) -> Content:
    """Return the panel of replication; its problems are those of the service map."""
    return Content(render("replication", components=health.data))


def _endpoint_row(health: Health, zones: Sequence[str]) -> MapRow:
    failing = [check for check in health.endpoints if check.problem]
    summary = "; ".join(f"{check.path}: {check.problem}" for check in failing)
    count = f"{len(health.endpoints)} endpoints answer"
    return MapRow("public endpoints", not failing, summary or count, (None,) * len(zones))


def _service_row(service: ServiceHealth, zones: Sequence[str], working: dict[str, bool]) -> MapRow:
    cells = tuple(
        Cell(service.healthy, f"{service.zones[zone]} ready") if service.zones.get(zone) else None
        for zone in zones
    )
    process = next((process for process in PROCESSES if process.name == service.name), None)
    uses_kafka, uses_redis = (process.kafka, process.redis) if process else (False, False)
    used = ["postgres", *(["kafka"] if uses_kafka else []), *(["redis"] if uses_redis else [])]
    calls = tuple((name, working[name]) for name in used if name in working)
    summary = f"{service.ready} of {service.desired} ready"
    return MapRow(service.name, service.healthy, summary, cells, calls)


def _component_row(component: ComponentHealth, zones: Sequence[str]) -> MapRow:
    cells = []
    for zone in zones:
        replicas = [replica for replica in component.replicas if replica.zone == zone]
        text = ", ".join(replica.role if replica.healthy else replica.state for replica in replicas)
        cells.append(Cell(all(replica.healthy for replica in replicas), text) if replicas else None)
    return MapRow(component.component, component.healthy, component.summary, tuple(cells))


def _node_row(health: Health, zones: Sequence[str]) -> MapRow:
    cells = []
    for zone in zones:
        nodes = [node for node in health.nodes if node.zone == zone]
        ready = sum(node.ready for node in nodes)
        cells.append(Cell(ready == len(nodes), f"{ready} of {len(nodes)} ready"))
    ready = sum(node.ready for node in health.nodes)
    return MapRow("nodes", ready == len(health.nodes), f"{ready} of {len(health.nodes)} ready", tuple(cells))
