"""How fast each alert of a chaos run fired after the injection, and how fast it ended after the undo.

The times are those at which vmalert had found it; Alertmanager sends a cause at once, a symptom 3 s later.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cli.observability_client import ObservabilityClient
from infra.alerts.rules import INHIBITION, PAGE_INTERVAL_SECONDS
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from chaos.results import ExperimentRun
    from cli.observability_client import Series

log = logging.getLogger("chaostoolkit")
_FIRING = f'max by (alertname, severity, burn) (ALERTS{{alertstate="firing", alertname!="{INHIBITION}"}})'


class MetricsClient(Protocol):
    """What the recorder needs of the observability layer."""

    def is_deployed(self) -> bool:
        """Return whether the layer is deployed."""

    def metrics_range(
        self, query: str, start: dt.datetime, end: dt.datetime, step_seconds: float
    ) -> list[Series]:
        """Return the results of a query over time.

        Args:
            query: MetricsQL.
            start: time of the first result (UTC).
            end: time of the last result (UTC).
            step_seconds: interval between results.
        """


@dataclass(frozen=True)
class Detection:
    """An alert that fired during a run.

    Attributes:
        alert: name of the alert.
        severity: `page` or `ticket`.
        burn: burn rate of its window; empty for other alerts.
        seconds: from the first injection to the first evaluation in which it fired; negative if it fired
            before.
        reset_seconds: from the last undo to the last evaluation in which it fired; None while it fires.
    """

    alert: str
    severity: str
    burn: str
    seconds: float
    reset_seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def detect(client: MetricsClient, run: ExperimentRun) -> list[Detection]:
    """Return the alerts that fired during a run, the first one first; none without the layer or a fault.

    Args:
        client: client of the layer.
        run: the run, which has just ended.

    Raises:
        EsqError: the layer cannot be read.
    """
    injections = [entry.at for entry in run.annotations if entry.is_injection]
    if not injections or not client.is_deployed():
        return []
    undos = [entry.at for entry in run.annotations if not entry.is_injection] or [run.ended_at]
    start, undo, end = (_wall_time(at) for at in (min(injections), max(undos), run.ended_at))
    series = client.metrics_range(
        _FIRING, dt.datetime.fromtimestamp(start, dt.UTC), dt.datetime.fromtimestamp(end, dt.UTC), 1
    )
    return sorted(_detections(series, start, undo, end), key=lambda entry: entry.seconds)


def _detections(series: Sequence[Series], start: float, undo: float, end: float) -> Iterable[Detection]:
    for entry in series:
        first, last = entry.points[0][0], entry.points[-1][0]
        yield Detection(
            entry.labels["alertname"],
            entry.labels.get("severity", ""),
            entry.labels.get("burn", ""),
            round(first - start, 1),
            round(max(0.0, last - undo), 1) if last < end - 2 * PAGE_INTERVAL_SECONDS else None,
        )


def _wall_time(monotonic: float) -> float:
    return time.time() - (time.monotonic() - monotonic)


def summarize(detections: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return by alert the number of runs, and median and worst seconds to detection and reset.

    Args:
        detections: detections of many runs, as stored.
    """
    by_alert: dict[str, list[Mapping[str, Any]]] = {}
    for detection in detections:
        by_alert.setdefault(detection["alert"], []).append(detection)
    return [
        {
            "alert": name,
            "severity": entries[0]["severity"],
            "runs": len(entries),
            **_spread("seconds", [entry["seconds"] for entry in entries]),
            **_spread("reset_seconds", [entry["reset_seconds"] for entry in entries]),
        }
        for name, entries in sorted(by_alert.items())
    ]


def _spread(name: str, values: Sequence[float | None]) -> dict[str, float | None]:
    known = sorted(value for value in values if value is not None)
    if not known:
        return {f"median_{name}": None, f"worst_{name}": None}
    return {f"median_{name}": known[len(known) // 2], f"worst_{name}": known[-1]}


def read_detections(kubeconfig: Path, run: ExperimentRun) -> list[Detection]:
    """Return the alerts that fired during a run; none when the layer is not deployed or cannot be read.

    What cannot be read is logged: it does not make the run invalid.

    Args:
        kubeconfig: kubeconfig of the environment's cluster.
        run: the run, which has just ended.
    """
    try:
        return detect(ObservabilityClient(kubeconfig), run) if kubeconfig.is_file() else []
    except EsqError as error:
        log.warning("the alerts of this run cannot be read: %s", error.message)
        return []


def write_detections(folder: Path, number: int, experiment: str, detections: Sequence[Detection]) -> None:
    """Store the alerts of a run beside its report.

    Args:
        folder: folder of the report.
        number: number of the run.
        experiment: name of the experiment.
        detections: alerts that fired.
    """
    text = json.dumps([{"experiment": experiment, **entry.to_dict()} for entry in detections], indent=2)
    (folder / f"alerts-{number}.json").write_text(text, encoding="utf-8")


def stored_detections(reports: Path) -> list[dict[str, Any]]:
    """Return the alerts of all stored runs, each with its experiment.

    Args:
        reports: folder of the reports of an environment.
    """
    return [
        detection
        for file in sorted(reports.glob("*/alerts-*.json"))
        for detection in json.loads(file.read_text(encoding="utf-8"))
    ]
