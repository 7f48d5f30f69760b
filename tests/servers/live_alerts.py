"""VictoriaMetrics, vmalert, Alertmanager and the receiver on loopback, fed with synthetic metrics as if scraped."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

import httpx

from infra.alerts.pod_programs.alert_receiver import make_server
from infra.alerts.receivers import ReceiverSettings
from infra.alerts.routing import render_alertmanager
from infra.alerts.rules import render_rules
from tests.servers.observability import Alertmanager, VictoriaMetrics, Vmalert
from tests.servers.process import free_port, wait_until
from tests.servers.synthetic_metrics import HEALTHY, SCRAPE_SECONDS, Fault, changed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from tests.servers.synthetic_metrics import Series

ENVIRONMENT = "test"
READY_TIMEOUT_SECONDS = 60.0


class LiveAlerts:
    """The programs that page, with a source of metrics that a test changes.

    Args:
        rules: text of the file of rules.
    """

    def __init__(self, rules: str | None = None) -> None:
        self._stack = ExitStack()
        self._rules = rules or render_rules(ENVIRONMENT)
        self._series: Sequence[Series] = HEALTHY
        self._counters: dict[str, float] = {}
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        """Start everything; the metrics are those of a healthy environment."""
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._stack.close()

    def _start(self) -> None:
        self._metrics = self._stack.enter_context(VictoriaMetrics())
        self._feed_once()
        port = free_port()
        receiver = make_server("127.0.0.1", port, self._metrics.folder / "received")
        self._run(receiver.serve_forever, receiver.shutdown)
        self._stack.callback(receiver.server_close)
        self._receiver = f"http://127.0.0.1:{port}"
        configuration = render_alertmanager(ReceiverSettings(), self._receiver)
        self._alertmanager = self._stack.enter_context(Alertmanager(configuration))
        self._stack.enter_context(Vmalert(self._rules, self._metrics, self._alertmanager))
        self._run(self._feed, self._stop.set)

    def _run(self, function: Any, stop: Any) -> None:
        thread = threading.Thread(target=function, daemon=True)
        thread.start()
        self._stack.callback(thread.join, READY_TIMEOUT_SECONDS)
        self._stack.callback(stop)

    def break_by(self, *faults: Fault) -> float:
        """Change the metrics from the next scrape on, and return the time of the change."""
        series: Sequence[Series] = HEALTHY
        for fault in faults:
            series = changed(fault, series)
        self._series = series
        return time.time()

    def received(self) -> list[dict[str, Any]]:
        """Return the alerts that the receiver got, oldest first."""
        text = httpx.get(self._receiver, timeout=10.0).text
        return [json.loads(line) for line in text.splitlines()]

    def pages(self) -> list[str]:
        """Return the names of the alerts that paged, each once."""
        firing = [record["labels"] for record in self.received() if record["status"] == "firing"]
        return list(dict.fromkeys(labels["alertname"] for labels in firing if labels["severity"] == "page"))

    def states(self) -> dict[str, str]:
        """Return the state of the alerts that Alertmanager knows: `active` or `suppressed`, by name."""
        rows = httpx.get(f"{self._alertmanager.url}/api/v2/alerts", timeout=10.0).json()
        return {row["labels"]["alertname"]: row["status"]["state"] for row in rows}

    def wait_for_page(self, name: str, seconds: float) -> float:
        """Wait for a page and return the time of its arrival.

        Args:
            name: name of the alert.
            seconds: timeout.
        """
        wait_until(f"the page {name}", lambda: name in self.pages(), seconds)
        return next(
            record["received_at"] for record in self.received() if record["labels"]["alertname"] == name
        )

    def _feed(self) -> None:
        while not self._stop.wait(SCRAPE_SECONDS):
            with suppress(httpx.HTTPError):  # as a scrape that fails on a busy machine
                self._feed_once()

    def _feed_once(self) -> None:
        lines = []
        for entry in self._series:
            if entry.value is None:
                continue
            value = entry.value + (time.time() if entry.since_now else 0)
            if entry.counter:
                value = self._counters.get(entry.name, 0.0) + entry.value * SCRAPE_SECONDS
                self._counters[entry.name] = value
            lines.append(f"{entry.name} {value}")
        self._metrics.write(*lines)
